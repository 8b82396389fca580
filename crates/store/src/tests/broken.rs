//! Databases and rows that are not as they should be.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, RouteHealth, RouteStatus};

use super::fixture::{Engine, Fixture, engines, manual};
use crate::{DeploymentFilter, OpenError, Store, StoreError};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_cannot_be_read_delays_no_other(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let broken = fixture.ready(1, manual()).await;
    let sound = fixture.ready(1, manual()).await;
    fixture
        .tamper(&format!(
            "UPDATE deployments SET policy = '{{\"nonsense\": 1}}' WHERE name = '{}'",
            fixture.get(broken).await.name
        ))
        .await
        .expect("it is tampered with");
    let all: Vec<_> = [broken, sound]
        .map(|id| fixture.routes(id))
        .into_iter()
        .collect();
    let mut ids = Vec::new();
    for routes in all {
        ids.extend(routes.await.iter().map(|route| route.view.id));
    }
    let reports = ids
        .iter()
        .map(|&id| super::fixture::report(id, RouteStatus::Terminated));
    let results = fixture
        .db
        .report_statuses(reports.collect())
        .await
        .expect("they are taken");
    assert!(results[0].is_err() && results[1].is_ok(), "{results:?}");

    fixture
        .db
        .postpone(broken, Duration::ZERO)
        .await
        .expect("it is due again");
    let error = fixture
        .db
        .reconcile(broken)
        .await
        .expect_err("it cannot be read");
    assert!(
        matches!(error, StoreError::Corrupt { id, .. } if id == broken),
        "{error:?}"
    );
    let listed = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .list_deployments(DeploymentFilter::default(), None, 10)
        .await
        .expect("the list is read");
    let [(first, Err(StoreError::Corrupt { .. })), (second, Ok(_))] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!([*first, *second], [broken, sound], "it fails alone");
    fixture
        .db
        .postpone(broken, Duration::from_secs(60))
        .await
        .expect("it is set aside");
    fixture.settle().await;
    fixture.bring_up(sound, RouteHealth::Healthy).await;
    assert_eq!(fixture.get(sound).await.status.blue.ready, 1);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_must_never_be_is_refused_by_the_schema(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(1, manual()).await;
    for statement in [
        "UPDATE routes SET status = 'GONE'",
        "UPDATE routes SET health = 'FINE'",
        "UPDATE routes SET traffic_ratio = 1.5 WHERE traffic_status = 'ACTIVE'",
        "UPDATE routes SET traffic_ratio = 0 WHERE traffic_status = 'ACTIVE'",
        "UPDATE routes SET status = 'TERMINATING' WHERE traffic_status = 'ACTIVE'",
        "UPDATE deployments SET sub_step = NULL",
        "UPDATE deployments SET deploying_revision_id = NULL",
        "UPDATE deployments SET lifecycle = 'READY'",
        "UPDATE deployments SET lifecycle = 'LOST'",
        "UPDATE deployments SET target_replicas = 1001",
        "UPDATE revisions SET number = 1",
        "INSERT INTO deployments SELECT * FROM deployments",
    ] {
        fixture.tamper(statement).await.expect_err(statement);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_one_server() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let error = Store::open(&fixture.url)
        .await
        .map(|_| ())
        .expect_err("it is open already");
    assert!(
        error.to_string().contains("another server has it open"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_one_clear_line() {
    for (url, why) in [
        (
            "sqlite:/nowhere/at/all/viridian.db",
            "there is no folder /nowhere/at/all",
        ),
        ("sqlite:/", "needs the path of a file"),
        (
            "redis://127.0.0.1/1",
            "must begin with sqlite: or postgres://",
        ),
    ] {
        let error = Store::open(url).await.map(|_| ()).expect_err(url);
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    // A port that nobody listens on.
    let error = Store::open("postgres://viridian@127.0.0.1:1/viridian")
        .await
        .map(|_| ());
    assert!(matches!(error, Err(OpenError::Unavailable(_))), "{error:?}");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_someone_holds_is_passed_over_by_cycles(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    fixture
        .db
        .postpone(id, Duration::ZERO)
        .await
        .expect("it is due");
    if matches!(engine, Engine::Postgres) {
        let other = Store::open(&fixture.url)
            .await
            .expect("a second server opens it");
        let held = fixture
            .db
            .write(async |tx: &mut crate::transaction::UnitTransaction| {
                tx.lock(id).await?;
                Ok::<_, StoreError>(other.reconcile(id).await?.is_some())
            });
        assert!(!held.await.expect("both run"), "it was not passed over");
    }
    assert!(fixture.db.reconcile(id).await.expect("it runs").is_some());
}

/// Has the database refuse a deployment's events.
pub(super) async fn refuse_events(fixture: &Fixture, engine: Engine, id: DeploymentId) {
    let id = literal(engine, id);
    let trigger = match engine {
        Engine::Sqlite => format!(
            "CREATE TRIGGER refused BEFORE INSERT ON events WHEN NEW.deployment_id = {id} \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
        Engine::Postgres => format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''refused''; END'; \
             CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW \
             WHEN (NEW.deployment_id = {id}) EXECUTE FUNCTION refuse()"
        ),
    };
    fixture.tamper(&trigger).await.expect("a trigger");
}

pub(super) fn literal(engine: Engine, id: DeploymentId) -> String {
    match engine {
        Engine::Sqlite => format!("X'{}'", id.0.simple()),
        Engine::Postgres => format!("'{}'", id.0),
    }
}
