//! The tables, as both trees of migrations make them.

use diesel::{
    allow_columns_to_appear_in_same_group_by_clause, allow_tables_to_appear_in_same_query, table,
};

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Document, Id, Instant, Label};

    deployments (id) {
        id -> Id,
        project -> Text,
        name -> Text,
        labels -> Document,
        metadata -> Document,
        lifecycle -> Label,
        sub_step -> Nullable<Label>,
        current_revision_id -> Nullable<Id>,
        deploying_revision_id -> Nullable<Id>,
        previous_revision_id -> Nullable<Id>,
        rollout -> Nullable<Document>,
        target_replicas -> Integer,
        policy -> Document,
        revision_history_limit -> Integer,
        protocol -> Label,
        paused -> Bool,
        generation -> BigInt,
        sequence -> BigInt,
        epoch -> BigInt,
        last_revision -> BigInt,
        last_history -> BigInt,
        status -> Document,
        availability -> Nullable<Label>,
        endpoints -> Document,
        shares -> Nullable<Document>,
        commit_id -> Nullable<Id>,
        open_entries -> Nullable<Document>,
        backing_off -> Bool,
        due_at -> Nullable<Instant>,
        created_at -> Instant,
        updated_at -> Instant,
        phase_started_at -> Instant,
        deadline_at -> Nullable<Instant>,
        promoted_at -> Nullable<Instant>,
        last_activation -> BigInt,
        current_activation -> BigInt,
        rollout_number -> BigInt,
        canary_step -> Integer,
        weight_permille -> Nullable<Integer>,
        last_rollout -> Nullable<Document>,
        current_revision_number -> Nullable<BigInt>,
        deploying_revision_number -> Nullable<BigInt>,
        served -> Document,
        coming_up -> Nullable<Document>,
        restarted -> Bool,
        resource_group -> Text,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Document, Id, Instant};

    revisions (id) {
        id -> Id,
        deployment_id -> Id,
        number -> BigInt,
        spec -> Document,
        created_at -> Instant,
        created_by -> Text,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Id, Instant, Label};

    routes (id) {
        id -> Id,
        deployment_id -> Id,
        revision_id -> Id,
        status -> Label,
        health -> Label,
        traffic_status -> Label,
        traffic_ratio -> Double,
        session_id -> Text,
        address -> Text,
        failure -> Text,
        created_at -> Instant,
        status_updated_at -> Instant,
        health_updated_at -> Nullable<Instant>,
        drained_at -> Nullable<Instant>,
        retained_at -> Nullable<Instant>,
        activation -> BigInt,
        evicted_at -> Nullable<Instant>,
        health_observed_at -> Nullable<Instant>,
        health_detail -> Text,
        once_healthy -> Bool,
        drain_requested_at -> Nullable<Instant>,
        hung_at -> Nullable<Instant>,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Id, Instant, Label};

    assignments (route_id) {
        route_id -> Id,
        resource_group -> Text,
        action -> Label,
        available_at -> Instant,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Id, Instant};

    last_reports (route_id) {
        route_id -> Id,
        status_at -> Nullable<Instant>,
        health_at -> Nullable<Instant>,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Document, Id, Instant, Label};

    history (deployment_id, number) {
        deployment_id -> Id,
        number -> BigInt,
        phase -> Label,
        result -> Label,
        from_lifecycle -> Nullable<Label>,
        from_sub_step -> Nullable<Label>,
        to_lifecycle -> Label,
        to_sub_step -> Nullable<Label>,
        revision_id -> Nullable<Id>,
        actor -> Text,
        reason -> Text,
        request_id -> Nullable<Id>,
        status -> Document,
        attempts -> Integer,
        routes_created -> Integer,
        routes_promoted -> Integer,
        routes_drained -> Integer,
        route_count -> Integer,
        failure -> Text,
        created_at -> Instant,
        updated_at -> Instant,
        changes -> Nullable<Document>,
        weight_permille -> Nullable<Integer>,
        commit_id -> Nullable<Id>,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Document, Id, Instant, Label};

    events (position) {
        position -> BigInt,
        deployment_id -> Id,
        sequence -> BigInt,
        kind -> Label,
        snapshot -> Document,
        created_at -> Instant,
        commit_id -> Nullable<Id>,
    }
}

table! {
    horizon (id) {
        id -> Integer,
        events -> BigInt,
        deployments -> BigInt,
        clock_correction -> BigInt,
        log_name -> Binary,
        token_key -> Binary,
        unsealed_until -> BigInt,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::{Document, Id, Instant};

    replies (request_id, project) {
        request_id -> Id,
        method -> Text,
        fingerprint -> Binary,
        reply -> Document,
        created_at -> Instant,
        project -> Text,
    }
}

table! {
    use diesel::sql_types::*;
    use viridian_engine::sql_types::Id;

    deployment_labels (deployment_id, key) {
        deployment_id -> Id,
        key -> Text,
        value -> Text,
    }
}

table! {
    project_usage (project) {
        project -> Text,
        deployments -> BigInt,
        replicas -> BigInt,
        revisions -> BigInt,
        bytes -> BigInt,
    }
}

allow_tables_to_appear_in_same_query!(
    deployments,
    revisions,
    routes,
    assignments,
    last_reports,
    history,
    events,
    replies,
);

allow_columns_to_appear_in_same_group_by_clause!(
    deployments::project,
    routes::status,
    routes::health,
    routes::traffic_status,
);

/// All tables with rows of their own, each after those that it refers to: what is
/// copied, and what a server's role must be able to write.
pub(crate) const TABLES: [&str; 10] = [
    // It refers to `revisions`, too: those keys are checked at COMMIT only.
    "deployments",
    "revisions",
    "routes",
    "assignments",
    "last_reports",
    "history",
    "events",
    "replies",
    "project_usage",
    "deployment_labels",
];

/// The table whose one row comes with the schema and is only updated.
pub(crate) const HORIZON: &str = "horizon";
