//! Each invariant, broken behind Viridian's back, is found; and a check leaves
//! everything as it is.

mod canary;
mod sets;

use std::{collections::BTreeSet, time::Duration};

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, Policy, RollingUpdate, Strategy};

use super::{
    fixture::{Engine, Fixture, call, colours, engines, manual, with_request},
    invariants,
};
use crate::{CheckError, OpenError, Store, Violation, check, check::queries};

#[test]
fn both_engines_ask_the_same_of_all_invariants() {
    let heads = |file| -> Vec<_> { queries(file).map(|it| (it.invariant, it.rule)).collect() };
    let sqlite = heads(include_str!("../invariants/sqlite.sql"));
    assert_eq!(sqlite, heads(include_str!("../invariants/postgres.sql")));
    let mut numbers: Vec<_> = sqlite.iter().map(|(invariant, _)| *invariant).collect();
    numbers.dedup();
    let all = (1..=19).chain([26, 30, 32, 33, 34, 35, 36, 37]);
    let all: Vec<_> = all.map(|number| format!("I{number}")).collect();
    assert_eq!(numbers, all);
}

/// What is tampered with: a deployment that has been promoted and serves, one
/// that waits for its promotion, or one whose rollout was aborted.
#[derive(Clone, Copy)]
enum DeploymentStage {
    Promoted,
    AtTheGate,
    Aborted,
}

/// A statement in which `$d` is the id of the deployment, and the invariants
/// that it breaks.
type Case = (DeploymentStage, &'static str, &'static [&'static str]);

/// I4 cannot be broken without I10, nor a table without what it is made from.
const CASES: &[Case] = &[
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET traffic_status = 'INACTIVE', traffic_ratio = 0 WHERE deployment_id = $d; \
         UPDATE deployments SET endpoints = '[]', availability = 'UNAVAILABLE' WHERE id = $d",
        &["I1"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE routes SET traffic_status = 'ACTIVE', traffic_ratio = 1, health = 'UNHEALTHY' \
         WHERE traffic_status = 'INACTIVE' AND deployment_id = $d",
        &["I2"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET revision_id = (SELECT previous_revision_id FROM deployments WHERE id = $d) \
         WHERE traffic_status = 'ACTIVE' AND deployment_id = $d",
        &["I4", "I10"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE history SET phase = 'PROMOTE' WHERE number = 4 AND deployment_id = $d",
        &["I6"],
    ),
    (
        DeploymentStage::Promoted,
        "DELETE FROM history WHERE deployment_id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "DELETE FROM history WHERE number = 2 AND deployment_id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET last_history = last_history + 1 WHERE id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE history SET from_lifecycle = 'READY' WHERE number = 5 AND deployment_id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE history SET from_lifecycle = NULL WHERE number = 2 AND deployment_id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE history SET to_lifecycle = 'PENDING' WHERE number = 5 AND deployment_id = $d",
        &["I7"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET last_revision = last_revision + 1 WHERE id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET previous_revision_id = \
         (SELECT id FROM revisions WHERE deployment_id <> $d LIMIT 1) WHERE id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET served = '[]' WHERE id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET deploying_revision_number = 7 WHERE id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET last_rollout = \
         '{\"revision\":\"00000000-0000-0000-0000-000000000001\",\"outcome\":\"Aborted\"}' WHERE id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET revision_id = \
         (SELECT id FROM revisions WHERE deployment_id <> $d LIMIT 1) \
         WHERE status = 'TERMINATING' AND deployment_id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET current_activation = last_activation WHERE id = $d",
        &["I3"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET coming_up = '{\"spent\":{\"secs\":0,\"nanos\":0},\"since\":null}' \
         WHERE id = $d",
        &["I3"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET restarted = TRUE WHERE id = $d",
        &["I3"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET restarted = TRUE, last_activation = last_activation + 1 WHERE id = $d",
        &["I3"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET hung_at = created_at WHERE status = 'RUNNING' AND deployment_id = $d",
        &["I15"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET activation = 3 WHERE deployment_id = $d",
        &["I8"],
    ),
    (
        DeploymentStage::Promoted,
        "DELETE FROM events WHERE sequence = 2 AND deployment_id = $d",
        &["I9"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET sequence = sequence + 1 WHERE id = $d",
        &["I9"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET epoch = epoch + 1 WHERE id = $d",
        &["I9"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE events SET sequence = 1000 WHERE sequence = 1 AND deployment_id = $d; \
         UPDATE events SET sequence = 1 WHERE sequence = 2 AND deployment_id = $d; \
         UPDATE events SET sequence = 2 WHERE sequence = 1000 AND deployment_id = $d",
        &["I9"],
    ),
    (
        DeploymentStage::Aborted,
        "DELETE FROM assignments WHERE route_id IN (SELECT id FROM routes WHERE deployment_id = $d); \
         UPDATE routes SET status = 'RUNNING', drained_at = NULL \
         WHERE status = 'TERMINATING' AND deployment_id = $d",
        &["I10"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET deadline_at = '2020-01-01T00:00:00.000000Z' WHERE id = $d",
        &["I11"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET due_at = '2020-01-01T00:00:00.000000Z' WHERE id = $d",
        &["I13"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET endpoints = '[]' WHERE id = $d",
        &["I14"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET address = 'elsewhere:1' WHERE traffic_status = 'ACTIVE' AND deployment_id = $d",
        &["I14", "I30"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET health = 'UNHEALTHY' WHERE traffic_status = 'INACTIVE' AND deployment_id = $d; \
         UPDATE routes SET status = 'TERMINATED' WHERE status = 'TERMINATING' AND deployment_id = $d",
        &["I15"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET evicted_at = created_at WHERE status = 'RUNNING' AND deployment_id = $d",
        &["I15"],
    ),
    (
        DeploymentStage::Promoted,
        "DELETE FROM assignments WHERE route_id IN (SELECT id FROM routes WHERE deployment_id = $d)",
        &["I15"],
    ),
    (
        DeploymentStage::Promoted,
        "INSERT INTO assignments SELECT id, 'g', 'START', created_at FROM routes \
         WHERE status = 'RUNNING' AND deployment_id = $d",
        &["I15"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET once_healthy = FALSE WHERE traffic_status = 'ACTIVE' AND deployment_id = $d",
        &["I14"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE routes SET address = '::1:8080' WHERE traffic_status = 'ACTIVE' AND deployment_id = $d; \
         UPDATE deployments SET endpoints = REPLACE(endpoints, '.test:', '.test:8:') WHERE id = $d",
        &["I14", "I30"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE routes SET address = 'h:1' WHERE status = 'RUNNING' AND deployment_id = $d; \
         UPDATE deployments SET endpoints = '[]' WHERE id = $d",
        &["I14", "I30"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE events SET snapshot = REPLACE(snapshot, '\"status\":{', '\"status\":{\"stale_promoted\":1,') \
         WHERE kind = 'PROMOTED' AND deployment_id = $d",
        &["I32"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE history SET status = REPLACE(status, '{\"blue\"', '{\"stale_promoted\":1,\"blue\"') \
         WHERE phase = 'PROMOTE' AND deployment_id = $d",
        &["I32"],
    ),
    // What is no route stands for one that is gone.
    (
        DeploymentStage::Promoted,
        "INSERT INTO assignments SELECT id, 'g', 'STOP', created_at FROM deployments WHERE id = $d",
        &["I16"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET availability = 'DEGRADED' WHERE id = $d",
        &["I33"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET availability = NULL WHERE id = $d",
        &["I33"],
    ),
    (
        DeploymentStage::AtTheGate,
        "UPDATE deployments SET open_entries = replace(open_entries, '\"attempts\":', '\"attempts\":9') \
         WHERE id = $d",
        &["I34"],
    ),
    (
        DeploymentStage::Promoted,
        "UPDATE deployments SET resource_group = 'other' WHERE id = $d",
        &["I35"],
    ),
];

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    // Whose revisions others are given.
    fixture.ready(1, manual()).await;
    for &(scene, statement, broken) in CASES {
        let id = set(&fixture, scene).await;
        assert_eq!(found(&fixture, id).await, [""; 0], "before {statement}");
        tamper(&fixture, id, statement).await;
        assert_eq!(found(&fixture, id).await, broken, "{statement}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_of_too_few_is_found_in_what_was_recorded(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    for (table, column, path, condition) in [
        (
            "events",
            "snapshot",
            "status,blue,ready",
            "kind = 'PROMOTED'",
        ),
        (
            "events",
            "snapshot",
            "status,blue,active_traffic",
            "kind = 'PROMOTED'",
        ),
        ("history", "status", "blue,ready", "phase = 'PROMOTE'"),
    ] {
        let id = set(&fixture, DeploymentStage::Promoted).await;
        let less = set_json(engine, column, path, 1);
        let statement =
            format!("UPDATE {table} SET {less} WHERE {condition} AND deployment_id = $d");
        tamper(&fixture, id, &statement).await;
        assert_eq!(found(&fixture, id).await, ["I1"], "{statement}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_was_told_and_is_lost_is_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let more = set_json(engine, "reply", "deployment,sequence", 1_000);
    for statement in [
        "DELETE FROM replies".to_owned(),
        format!("UPDATE replies SET {more}"),
    ] {
        let id = fixture.ready(1, manual()).await;
        let paused = fixture.db.pause_deployment(id, &with_request()).await;
        paused.expect("it is paused");
        assert_eq!(found(&fixture, id).await, [""; 0]);
        tamper(&fixture, id, &statement).await;
        assert_eq!(found(&fixture, id).await, ["I12"], "{statement}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_of_a_deployment_that_is_gone_is_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    // What is no deployment stands for one that is gone.
    for statement in [
        "UPDATE history SET deployment_id = (SELECT id FROM routes)",
        "UPDATE events SET deployment_id = (SELECT id FROM routes)",
    ] {
        let gone = DeploymentId(fixture.routes(id).await[0].view.id.0);
        fixture.tamper(statement).await.expect(statement);
        assert_eq!(found(&fixture, gone).await, ["I16"], "{statement}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_constraints_refuse_would_be_found_without_them(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let cases = [
        (
            "UPDATE deployments SET deploying_revision_id = current_revision_id, \
             deploying_revision_number = current_revision_number WHERE id = $d",
            "I3",
        ),
        (
            "UPDATE routes SET traffic_ratio = 0.5 WHERE traffic_status = 'INACTIVE' AND deployment_id = $d",
            "I5",
        ),
        (
            "UPDATE routes SET status = 'TERMINATING', drained_at = created_at \
             WHERE traffic_status = 'ACTIVE' AND deployment_id = $d; \
             INSERT INTO assignments SELECT id, 'g', 'STOP', created_at FROM routes \
             WHERE traffic_status = 'ACTIVE' AND deployment_id = $d; \
             UPDATE deployments SET endpoints = '[]', availability = 'UNAVAILABLE' WHERE id = $d",
            "I5",
        ),
    ];
    let mut ids = Vec::new();
    for (statement, _) in cases {
        let id = set(&fixture, DeploymentStage::Promoted).await;
        let whole = statement.replace("$d", &of(&fixture, id).await);
        fixture.tamper(&whole).await.expect_err(statement);
        ids.push(id);
    }
    fixture
        .tamper(without_constraints(engine))
        .await
        .expect("they are gone");
    for ((statement, broken), id) in cases.into_iter().zip(ids) {
        assert_eq!(found(&fixture, id).await, [""; 0], "before {statement}");
        tamper(&fixture, id, statement).await;
        assert_eq!(found(&fixture, id).await, [broken], "{statement}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_may_mix_revisions(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let rolling = Policy {
        strategy: Strategy::Rolling(RollingUpdate::default()),
        ..Policy::default()
    };
    let id = fixture.ready(4, rolling).await;
    fixture.deploy(id).await;
    assert_eq!(colours(&fixture.routes(id).await).len(), 2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_check_counts_and_says_what_it_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let sound = check(&fixture.url, None).await.expect("it can be checked");
    assert_eq!((sound.deployments, sound.invariants.len()), (0, 25));
    assert!(!sound.invariants.contains(&"I11") && !sound.invariants.contains(&"I13"));

    let id = fixture.ready(2, manual()).await;
    tamper(
        &fixture,
        id,
        "UPDATE deployments SET endpoints = '[]' WHERE id = $d",
    )
    .await;
    let footprint = fixture.footprint().await;
    let broken = check(&fixture.url, Some(Duration::from_secs(60))).await;
    let broken = broken.expect("it can be checked");
    assert_eq!((broken.deployments, broken.invariants.len()), (1, 27));
    let [
        Violation {
            invariant: "I14",
            deployment,
            what,
            ..
        },
        _,
    ] = broken.violations.as_slice()
    else {
        panic!("{broken:?}")
    };
    assert_eq!(*deployment, id);
    assert!(what.starts_with("serves by route "), "{what}");
    assert_eq!(fixture.footprint().await, footprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let refused = async |name| check(&url(name), None).await.expect_err(name);

    let missing = refused("missing.db").await.to_string();
    assert!(missing.contains("there is no such file"), "{missing}");
    std::fs::write(folder.path().join("empty.db"), "").expect("a file");
    let empty = refused("empty.db").await;
    assert!(
        matches!(&empty, CheckError::Open(OpenError::Schema(_))),
        "{empty:?}"
    );
    std::fs::write(
        folder.path().join("notes.txt"),
        "not a database\n".repeat(100),
    )
    .expect("a file");
    let notes = refused("notes.txt").await;
    assert!(
        matches!(&notes, CheckError::Open(OpenError::File { .. })),
        "{notes:?}"
    );

    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["empty.db", "notes.txt"]);
    let size = std::fs::metadata(folder.path().join("empty.db"))
        .expect("a file")
        .len();
    assert_eq!(size, 0, "it was migrated");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_version_is_refused(#[case] engine: Engine) {
    for (statement, why) in [
        (
            "DELETE FROM __diesel_schema_migrations",
            "none of Viridian's tables",
        ),
        (
            "UPDATE __diesel_schema_migrations SET version = '20010101000000' \
             WHERE version = (SELECT MIN(version) FROM __diesel_schema_migrations)",
            "lacks migration",
        ),
        (
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
            "a newer program",
        ),
    ] {
        let fixture = Fixture::new(engine).await;
        fixture
            .tamper(statement)
            .await
            .expect("it is tampered with");
        let error = check(&fixture.url, None).await.expect_err(statement);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_can_be_checked_when_nobody_has_it_open() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    fixture.ready(1, manual()).await;
    let (url, _keeper) = fixture.close();
    let checked = check(&url, None).await.expect("it can be checked");
    assert_eq!((checked.deployments, checked.violations.len()), (1, 0));
    Store::open(&url)
        .await
        .expect("and a server can open it again");
}

async fn set(fixture: &Fixture, scene: DeploymentStage) -> DeploymentId {
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    match scene {
        DeploymentStage::AtTheGate => {}
        DeploymentStage::Promoted => {
            let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
            promoted.expect("it is promoted");
        }
        DeploymentStage::Aborted => {
            let aborted = fixture.db.abort_deployment(id, None, &call()).await;
            aborted.expect("it is aborted");
        }
    }
    fixture.settle().await;
    id
}

/// The invariants that are broken for a deployment, in their order.
async fn found(fixture: &Fixture, id: DeploymentId) -> Vec<&'static str> {
    let check = check(&fixture.url, Some(Duration::from_secs(60))).await;
    let check = check.expect("it can be checked");
    let mut found: Vec<_> = check
        .violations
        .iter()
        .filter(|violation| violation.deployment == id)
        .map(|violation| violation.invariant)
        .collect();
    let mut seen = BTreeSet::new();
    found.retain(|invariant| seen.insert(*invariant));
    found
}

async fn tamper(fixture: &Fixture, id: DeploymentId, statement: &str) {
    let statement = statement.replace("$d", &of(fixture, id).await);
    fixture.tamper(&statement).await.expect(&statement);
}

/// The id of a deployment as an expression that both engines take.
async fn of(fixture: &Fixture, id: DeploymentId) -> String {
    let name = fixture.get(id).await.name;
    format!("(SELECT id FROM deployments WHERE name = '{name}')")
}

fn set_json(engine: Engine, column: &str, path: &str, value: u32) -> String {
    match engine {
        Engine::Sqlite => {
            let path = path.replace(',', ".");
            format!("{column} = json_set({column}, '$.{path}', {value})")
        }
        Engine::Postgres => {
            format!("{column} = jsonb_set({column}::jsonb, '{{{path}}}', '{value}')::text")
        }
    }
}

fn without_constraints(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "PRAGMA ignore_check_constraints = ON",
        Engine::Postgres => {
            "DO $$ DECLARE c record; BEGIN \
             FOR c IN SELECT conrelid::regclass AS of, conname FROM pg_constraint \
             WHERE contype = 'c' AND connamespace = 'public'::regnamespace \
             LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.of, c.conname); \
             END LOOP; END $$"
        }
    }
}
