//! A statement that changes too few rows, in the middle of all that a unit of
//! work writes: nothing of it is left, COMMIT or no COMMIT.

use rstest_reuse::apply;
use uuid::Uuid;
use viridian_strategy::DeploymentId;

use super::{
    fixture::{Engine, Fixture, call, engines, manual},
    invariants,
};
use crate::{Request, RequestContext, RequestId, StoreError, UnitError};

/// Rows that the database passes over without a word.
struct PassedOver {
    /// The write that misses them.
    what: &'static str,
    /// `UPDATE OF status ON routes`, say.
    event: &'static str,
    /// The column, and whose rows.
    row: (&'static str, Uuid),
    expected: usize,
    found: usize,
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn too_few_rows_anywhere_leave_nothing(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(3, manual()).await;
    let before = fixture.get(id).await;
    let blue = before.state.current().expect("blue");
    let one_blue = fixture.routes_of(id, blue).await[1].0;
    let one_green = fixture.routes_of(id, green).await[1].0;
    let request = Uuid::now_v7();
    let footprint = fixture.footprint().await;
    let mut commits = fixture.db.subscribe();
    for (what, event, row, expected) in [
        ("promote routes", "UPDATE ON routes", ("id", one_green), 3),
        ("drain routes", "UPDATE ON routes", ("id", one_blue), 3),
        ("assign", "INSERT ON assignments", ("route_id", one_blue), 3),
        (
            "update deployment",
            "UPDATE ON deployments",
            ("id", id.0),
            1,
        ),
        (
            "record moves",
            "INSERT ON history",
            ("deployment_id", id.0),
            1,
        ),
        (
            "record events",
            "INSERT ON events",
            ("deployment_id", id.0),
            1,
        ),
        (
            "store reply",
            "INSERT ON replies",
            ("request_id", request),
            1,
        ),
    ] {
        let passed_over = PassedOver {
            what,
            event,
            row,
            expected,
            found: expected - 1,
        };
        passed_over.begin(&fixture, engine).await;
        for _ in 0..3 {
            let told = promote(&fixture, id, request).await;
            passed_over.is_told(told);
            assert_eq!(fixture.footprint().await, footprint, "{what}");
            assert_eq!(fixture.get(id).await, before, "{what}");
        }
        passed_over.end(&fixture, engine).await;
    }
    assert!(commits.try_recv().is_err(), "what is not done is announced");
    assert_eq!(
        fixture.db.connections_in_use().0,
        0,
        "a connection is leaked"
    );
    invariants::hold(&fixture).await;
    promote(&fixture, id, request)
        .await
        .expect("it is promoted");
    invariants::hold(&fixture).await;
}

/// What fails only at COMMIT.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_leaves_nothing() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let (id, _) = fixture.at_the_gate(3, manual()).await;
    fixture
        .tamper(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''not today''; END'; \
             CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON history \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await
        .expect("a trigger");
    let footprint = fixture.footprint().await;
    for _ in 0..3 {
        let told = promote(&fixture, id, Uuid::now_v7()).await;
        assert!(
            matches!(&told, Err(UnitError::Store(StoreError::Internal(why))) if why.contains("not today")),
            "{told:?}"
        );
        assert_eq!(fixture.footprint().await, footprint);
    }
    let trigger = fixture.tamper("DROP TRIGGER refused ON history").await;
    trigger.expect("it is dropped");
    promote(&fixture, id, Uuid::now_v7())
        .await
        .expect("it is promoted");
    invariants::hold(&fixture).await;
}

impl PassedOver {
    async fn begin(&self, fixture: &Fixture, engine: Engine) {
        let (column, id) = self.row;
        let (event, table) = self.event.split_once(" ON ").expect("a table");
        let trigger = match engine {
            Engine::Sqlite => format!(
                "CREATE TRIGGER passed_over BEFORE {event} ON {table} \
                 WHEN NEW.{column} = X'{}' BEGIN SELECT RAISE(IGNORE); END",
                id.simple()
            ),
            Engine::Postgres => format!(
                "CREATE FUNCTION pass_over() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN RETURN NULL; END'; \
                 CREATE TRIGGER passed_over BEFORE {event} ON {table} FOR EACH ROW \
                 WHEN (NEW.{column} = '{id}') EXECUTE FUNCTION pass_over()"
            ),
        };
        fixture.tamper(&trigger).await.expect("a trigger");
    }

    async fn end(&self, fixture: &Fixture, engine: Engine) {
        let trigger = match engine {
            Engine::Sqlite => "DROP TRIGGER passed_over",
            Engine::Postgres => "DROP FUNCTION pass_over CASCADE",
        };
        fixture.tamper(trigger).await.expect("it is dropped");
    }

    fn is_told<T: std::fmt::Debug, R: std::fmt::Debug>(&self, told: Result<T, UnitError<R>>) {
        let Err(UnitError::Store(StoreError::Conflict {
            what,
            expected,
            found,
        })) = told
        else {
            panic!("{}: {told:?}", self.what);
        };
        assert_eq!(
            (what, expected, found),
            (self.what, self.expected, self.found)
        );
    }
}

async fn promote(
    fixture: &Fixture,
    id: DeploymentId,
    request: Uuid,
) -> Result<crate::Promotion, UnitError<crate::PromoteRefusal>> {
    let terms = RequestContext {
        request: Some(Request {
            id: RequestId(request),
            method: "Promote",
            fingerprint: b"the same".to_vec(),
        }),
        ..call()
    };
    fixture.db.complete_manual_promote(id, None, &terms).await
}
