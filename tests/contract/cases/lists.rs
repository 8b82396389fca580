//! The lists, and the watch.

use super::{
    super::{
        case::{Case, case, done, invalid, no_deployment, no_revision},
        contract_env::InitialState,
    },
    named,
};

pub(super) fn cases() -> Vec<Case> {
    [deployments(), revisions(), routes(), history(), watch()].concat()
}

fn deployments() -> Vec<Case> {
    const METHOD: &str = "ListDeployments";
    let on = |name, initial, request, outcome| case(METHOD, name, initial, request, outcome);
    vec![
        on(
            "by everything",
            InitialState::Gate,
            r#"{"project":"contract","lifecycles":["DEPLOYMENT_LIFECYCLE_DEPLOYING"],
                "subSteps":["DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION"],
                "availabilities":["DEPLOYMENT_AVAILABILITY_AVAILABLE"],"labelSelector":"!a","pageSize":1}"#,
            done(&[
                ("/deployments", "1 items"),
                (
                    "/deployments/0/availability",
                    "DEPLOYMENT_AVAILABILITY_AVAILABLE",
                ),
                ("/deployments/0/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING"),
            ]),
        ),
        on(
            "next page",
            InitialState::Idle,
            r#"{"project":"contract","pageSize":1,"pageToken":"$token"}"#,
            done(&[("/deployments", "1 items")]),
        )
        .after(r#"{"project":"contract","pageSize":1}"#),
        on(
            "everything wrong",
            InitialState::Nothing,
            r#"{"project":"a b","lifecycles":["DEPLOYMENT_LIFECYCLE_READY",0],"subSteps":[9],
                "availabilities":[0,9],"labelSelector":"a b","pageSize":501,"pageToken":"?"}"#,
            invalid(&[
                "availabilities[0]",
                "availabilities[1]",
                "label_selector",
                "lifecycles[1]",
                "page_size",
                "page_token",
                "project",
                "sub_steps[0]",
            ]),
        ),
        on(
            "selector that is too long",
            InitialState::Nothing,
            r#"{"labelSelector":"$long"}"#,
            invalid(&["label_selector"]),
        ),
        on(
            "negative page size",
            InitialState::Nothing,
            r#"{"pageSize":-1}"#,
            invalid(&["page_size"]),
        ),
        on(
            "token of other filters",
            InitialState::Idle,
            r#"{"project":"other","pageSize":1,"pageToken":"$token"}"#,
            invalid(&["page_token"]),
        )
        .after(r#"{"project":"contract","pageSize":1}"#),
    ]
}

fn revisions() -> Vec<Case> {
    const METHOD: &str = "ListRevisions";
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, InitialState::Recorded));
    cases.push(case(
        METHOD,
        "newest first",
        InitialState::Recorded,
        r#"{"deployment":"$ref"}"#,
        done(&[("/revisions", "2 items"), ("/revisions/0/number", "2")]),
    ));
    cases
}

fn routes() -> Vec<Case> {
    const METHOD: &str = "ListRoutes";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$ref",{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, InitialState::Gate));
    cases.extend([
        on(
            "of one revision",
            InitialState::Gate,
            r#""revision":"2""#,
            done(&[
                ("/routes", "1 items"),
                ("/routes/0/revisionId", "$deploying"),
            ]),
        ),
        on(
            "in one status",
            InitialState::Provisioning,
            r#""statuses":["ROUTE_STATUS_PROVISIONING"]"#,
            done(&[("/routes", "1 items")]),
        ),
        on(
            "unknown status",
            InitialState::Ready,
            r#""statuses":[0,9]"#,
            invalid(&["statuses[0]", "statuses[1]"]),
        ),
        on(
            "malformed revision",
            InitialState::Ready,
            r#""revision":"two""#,
            invalid(&["revision"]),
        ),
        on(
            "unknown revision",
            InitialState::Ready,
            r#""revision":"7""#,
            no_revision("7"),
        ),
    ]);
    cases
}

fn history() -> Vec<Case> {
    const METHOD: &str = "ListHistory";
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, InitialState::Ready));
    cases.push(case(
        METHOD,
        "newest first",
        InitialState::Idle,
        r#"{"deployment":"$ref"}"#,
        done(&[("/entries", "1 items"), ("/entries/0/phase", "CREATE")]),
    ));
    cases
}

fn watch() -> Vec<Case> {
    const METHOD: &str = "WatchDeployments";
    let on = |name, initial, request: &str, outcome| case(METHOD, name, initial, request, outcome);
    let many = format!(r#"{{"deployments":[{}"$ref"]}}"#, r#""$ref","#.repeat(100));
    vec![
        on(
            "some",
            InitialState::Gate,
            r#"{"deployments":["$ref","$id"]}"#,
            done(&[
                ("/event/kind", "DEPLOYMENT_EVENT_KIND_SNAPSHOT"),
                ("/event/deployment/id", "$id"),
            ]),
        ),
        on(
            "all of a project",
            InitialState::Idle,
            r#"{"project":"contract"}"#,
            done(&[("/event/kind", "DEPLOYMENT_EVENT_KIND_SNAPSHOT")]),
        ),
        on(
            "nothing",
            InitialState::Nothing,
            "{}",
            invalid(&["deployments"]),
        ),
        on(
            "both",
            InitialState::Idle,
            r#"{"deployments":["$ref"],"project":"contract"}"#,
            invalid(&["project"]),
        ),
        on(
            "everything wrong",
            InitialState::Nothing,
            r#"{"deployments":["web"],"project":"a b","resumeToken":"?"}"#,
            invalid(&["deployments[0]", "project", "project", "resume_token"]),
        ),
        on(
            "too many",
            InitialState::Idle,
            &many,
            invalid(&["deployments"]),
        ),
        on(
            "unknown name",
            InitialState::Nothing,
            r#"{"deployments":["$ref"]}"#,
            no_deployment("$ref"),
        ),
        on(
            "unknown id",
            InitialState::Idle,
            r#"{"deployments":["$ref","$unknown"]}"#,
            no_deployment("$unknown"),
        ),
        on(
            "token of another watch",
            InitialState::Idle,
            r#"{"project":"contract","resumeToken":"$token"}"#,
            invalid(&["resume_token"]),
        )
        .after(r#"{"deployments":["$id"]}"#),
    ]
}

/// What every list of one deployment's rows has. There are two rows or more.
fn pages(method: &'static str, initial: InitialState) -> Vec<Case> {
    let first = r#"{"deployment":"$ref","pageSize":1}"#;
    let next = r#"{"deployment":"$ref","pageSize":1,"pageToken":"$token"}"#;
    let other = r#"{"deployment":"$id","pageSize":1,"pageToken":"$token"}"#;
    vec![
        case(method, "next page", initial, next, done(&[])).after(first),
        case(
            method,
            "token of another list",
            initial,
            other,
            invalid(&["page_token"]),
        )
        .after(first),
        case(
            method,
            "malformed page",
            initial,
            r#"{"deployment":"$ref","pageSize":501,"pageToken":"?"}"#,
            invalid(&["page_size", "page_token"]),
        ),
    ]
}
