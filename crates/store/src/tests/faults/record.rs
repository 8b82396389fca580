//! All rows of a database: compared, kept and put back.

use super::super::fixture::{Engine, Fixture};

/// The queries and statements for one database.
pub(super) struct Record {
    rows: String,
    restore: String,
}

impl Record {
    /// Keeps all rows as they are now, to be put back.
    pub(super) async fn keep(fixture: &Fixture, engine: Engine) -> Self {
        let keep =
            TABLES.map(|table| format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
        let keep = fixture.tamper(&keep.join("; ")).await;
        keep.expect("the rows are kept");
        let mut rows = Vec::new();
        for table in TABLES {
            let line = match engine {
                Engine::Postgres => format!("CAST({table} AS text)"),
                Engine::Sqlite => {
                    let columns = format!(
                        "SELECT 'quote(' || name || ')' AS line FROM pragma_table_info('{table}')"
                    );
                    fixture.lines(&columns).await.join(" || '|' || ")
                }
            };
            rows.push(format!("SELECT '{table}: ' || {line} AS line FROM {table}"));
        }
        Self {
            rows: format!("{} ORDER BY line", rows.join(" UNION ALL ")),
            restore: restore(engine),
        }
    }

    /// Every value of every row.
    pub(super) async fn rows(&self, fixture: &Fixture) -> Vec<String> {
        fixture.lines(&self.rows).await
    }

    /// What two runs of one unit of work have in common: all but ids and times.
    pub(super) async fn shape(&self, fixture: &Fixture) -> Vec<String> {
        fixture.lines(SHAPE).await
    }

    /// Puts back what was kept.
    pub(super) async fn restore(&self, fixture: &Fixture) {
        let restored = fixture.tamper(&self.restore).await;
        restored.expect("the rows are put back");
    }
}

fn restore(engine: Engine) -> String {
    let delete = TABLES
        .iter()
        .rev()
        .map(|table| format!("DELETE FROM {table}"));
    let insert = TABLES.iter().map(|table| {
        let own_position = match (engine, *table) {
            (Engine::Postgres, "events") => "OVERRIDING SYSTEM VALUE",
            _ => "",
        };
        format!("INSERT INTO {table} {own_position} SELECT * FROM kept_{table}")
    });
    delete.chain(insert).collect::<Vec<_>>().join("; ")
}

/// Each behind those that it refers to.
const TABLES: [&str; 10] = [
    "project_usage",
    "deployments",
    "deployment_labels",
    "revisions",
    "routes",
    "assignments",
    "last_reports",
    "history",
    "events",
    "replies",
];

const SHAPE: &str = "\
    SELECT 'deployment ' || lifecycle || ' ' || COALESCE(sub_step, '') || ' ' || generation \
    || ' ' || sequence || ' ' || epoch || ' ' || target_replicas || ' ' || paused \
    || ' ' || (due_at IS NULL) || ' ' || (previous_revision_id IS NULL) \
    || ' ' || canary_step || ' ' || COALESCE(weight_permille, -1) AS line FROM deployments \
    UNION ALL SELECT 'revision ' || number FROM revisions \
    UNION ALL SELECT 'routes ' || number || ' ' || status || ' ' || health || ' ' \
    || traffic_status || ' ' || (retained_at IS NULL) || ' ' || COUNT(*) \
    FROM routes JOIN revisions ON revisions.id = revision_id \
    GROUP BY number, status, health, traffic_status, retained_at IS NULL \
    UNION ALL SELECT 'assignments ' || action || ' ' || COUNT(*) FROM assignments GROUP BY action \
    UNION ALL SELECT 'history ' || number || ' ' || phase || ' ' || result || ' ' \
    || COALESCE(from_lifecycle, '') || ' ' || COALESCE(from_sub_step, '') || ' ' || to_lifecycle \
    || ' ' || COALESCE(to_sub_step, '') || ' ' || attempts || ' ' || (request_id IS NULL) \
    || ' ' || COALESCE(weight_permille, -1) \
    FROM history \
    UNION ALL SELECT 'event ' || sequence || ' ' || kind FROM events \
    UNION ALL SELECT 'reply ' || method FROM replies ORDER BY line";
