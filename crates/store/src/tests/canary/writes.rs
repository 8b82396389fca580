//! What a rise writes.

use rstest_reuse::apply;
use viridian_strategy::SubStep;

use super::{CanaryRun, full_step};
use crate::tests::fixture::{Engine, Fixture, engines};

/// At a share above 0 all green are ACTIVE already: what rises is one column.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_rise_writes_one_row_whatever_the_number_of_routes(#[case] engine: Engine) {
    let steps = [full_step(10, 5), full_step(500, 5), full_step(600, 5)];
    let mut run = CanaryRun::at_first_step(engine, 500, steps).await;
    assert_eq!(run.table().await.endpoints.len(), 1_000);
    note_writes(&run.fixture, engine).await;
    for share in [500, 600] {
        run.pass(5).await;
        assert_eq!(run.weights().await, Some([1_000 - share, share]));
        assert_eq!(run.sub_step().await, Some(SubStep::Shifting));
        let written = run.fixture.lines("SELECT what AS line FROM written").await;
        assert_eq!(written, ["deployments"]);
        let forgotten = run.fixture.tamper("DELETE FROM written").await;
        forgotten.expect("they are forgotten");
    }
    run.check().await;
}

/// Writes down each row of deployments and of routes that is written from now on.
async fn note_writes(fixture: &Fixture, engine: Engine) {
    let mut noted = match engine {
        Engine::Sqlite => "CREATE TABLE written (what TEXT NOT NULL) STRICT;".to_owned(),
        Engine::Postgres => "CREATE TABLE written (what text NOT NULL); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO written VALUES (TG_TABLE_NAME); RETURN NULL; END';"
            .to_owned(),
    };
    for table in ["deployments", "routes"] {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            let then = match engine {
                Engine::Sqlite => format!("BEGIN INSERT INTO written VALUES ('{table}'); END;"),
                Engine::Postgres => "FOR EACH ROW EXECUTE FUNCTION note();".to_owned(),
            };
            let trigger = format!("{table}_{what}");
            noted += &format!(" CREATE TRIGGER {trigger} AFTER {what} ON {table} {then}");
        }
    }
    fixture.tamper(&noted).await.expect("triggers");
}
