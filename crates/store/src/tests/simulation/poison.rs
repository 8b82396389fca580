//! Rows that are damaged for a while, so that cycles of one deployment fail.

use viridian_strategy::{DeploymentId, Timestamp};

use super::generators::rng::Rng;
use crate::tests::{
    broken::literal,
    fixture::{Engine, Fixture},
};

/// In what way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowDamage {
    /// Its row does not parse.
    Unreadable,
    /// The database refuses its events.
    Unwritable,
}

impl RowDamage {
    pub(super) fn at_random(rng: &mut Rng) -> Self {
        rng.pick(&[Self::Unreadable, Self::Unwritable])
    }

    /// Damages rows of a deployment that is due.
    pub(super) async fn strike(
        self,
        fixture: &Fixture,
        engine: Engine,
        id: DeploymentId,
        now: Timestamp,
    ) {
        let id = literal(engine, id);
        let due = format!("UPDATE deployments SET due_at = '{now}' WHERE id = {id}");
        fixture.tamper(&due).await.expect("it is due");
        let damage = match self {
            Self::Unreadable => format!("UPDATE deployments SET labels = '[7]' WHERE id = {id}"),
            Self::Unwritable => format!("INSERT INTO poisoned VALUES ({id})"),
        };
        fixture.tamper(&damage).await.expect("it is damaged");
    }

    pub(super) async fn cure(self, fixture: &Fixture, engine: Engine, id: DeploymentId) {
        let id = literal(engine, id);
        let mend = match self {
            Self::Unreadable => format!("UPDATE deployments SET labels = '{{}}' WHERE id = {id}"),
            Self::Unwritable => format!("DELETE FROM poisoned WHERE id = {id}"),
        };
        fixture.tamper(&mend).await.expect("it is mended");
    }
}

/// Has a database refuse the events of deployments on a list.
pub(super) async fn prepare(fixture: &Fixture, engine: Engine) {
    let trigger = match engine {
        Engine::Sqlite => {
            "CREATE TABLE poisoned (id BLOB PRIMARY KEY) STRICT; \
             CREATE TRIGGER refused BEFORE INSERT ON events \
             WHEN EXISTS (SELECT 1 FROM poisoned WHERE id = NEW.deployment_id) \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        }
        Engine::Postgres => {
            "CREATE TABLE poisoned (id uuid PRIMARY KEY); \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF EXISTS (SELECT FROM poisoned WHERE id = NEW.deployment_id) \
             THEN RAISE EXCEPTION ''refused''; END IF; RETURN NEW; END'; \
             CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW \
             EXECUTE FUNCTION refuse()"
        }
    };
    fixture.tamper(trigger).await.expect("a trigger");
}
