use std::{collections::BTreeSet, time::Duration};

use tokio_postgres::{Client, NoTls};

use super::{
    kind::{DeploymentCase, KindCounts},
    operator::Acknowledged,
};

/// The database itself, beside the servers.
pub(super) struct DatabaseRecord {
    url: String,
    client: Client,
}

impl DatabaseRecord {
    pub(super) async fn open(url: &str) -> Self {
        let connected = tokio_postgres::connect(url, NoTls).await;
        let (client, connection) = connected.expect("the database answers");
        // Ends with the client.
        tokio::spawn(connection);
        Self {
            url: url.to_owned(),
            client,
        }
    }

    /// Asserts that the invariants hold at this moment, and if so it is asked
    /// that nothing has been due for so long.
    pub(super) async fn check(&self, grace: Option<Duration>) {
        let check = viridian_store::check(&self.url, grace).await;
        let check = check.expect("it can be checked");
        assert_eq!(check.violations, []);
    }

    pub(super) async fn now(&self) -> String {
        self.text("SELECT clock_timestamp()::text").await
    }

    /// How far all is; none once nothing is left to be done.
    pub(super) async fn left(&self) -> Option<String> {
        let left = self.text(LEFT).await;
        (!left.starts_with("0 ")).then_some(left)
    }

    /// Asserts that each revision had the routes that it ought to have, and not
    /// one more.
    pub(super) async fn no_route_is_one_too_many(&self) {
        for row in self.client.query(ROUTES, &[]).await.expect(ROUTES) {
            let (name, revision): (String, i64) = (row.get(0), row.get(1));
            let counts = KindCounts {
                routes: row.get(2),
                failed: row.get(3),
            };
            let expected = DeploymentCase::of_name(&name).counts(revision);
            assert_eq!(counts, expected, "revision {revision} of {name}");
        }
    }

    /// Asserts that each revision was activated once, and then promoted once or
    /// rolled back once. Gives how many.
    pub(super) async fn each_move_happened_once(&self) -> i64 {
        let mut all = 0;
        for row in self.client.query(MOVES, &[]).await.expect(MOVES) {
            let name: String = row.get(0);
            let [revisions, activated, promoted, rolled_back] =
                [1, 2, 3, 4].map(|column| row.get::<_, i64>(column));
            let later = revisions - 1;
            let expected = if DeploymentCase::of_name(&name).is_promoted() {
                (later, later, 0)
            } else {
                (later, 0, later)
            };
            assert_eq!((activated, promoted, rolled_back), expected, "{name}");
            all += later;
        }
        all
    }

    /// Asserts that whatever someone was told is there.
    pub(super) async fn keeps(&self, told: &[Acknowledged]) {
        let ids: Vec<_> = told.iter().map(|it| it.request.to_string()).collect();
        let rows = self.client.query(REPLIES, &[&ids]).await.expect(REPLIES);
        assert_eq!(rows.len(), told.len(), "replies");
        for (row, told) in rows.iter().zip(told) {
            let now: i64 = row.get(2);
            let [generation, sequence] = [0, 1].map(|column| row.get::<_, Option<i64>>(column));
            let it = &told.deployment;
            assert_eq!(
                (generation, sequence),
                (Some(it.generation), Some(it.sequence)),
                "{told:?}"
            );
            assert!(now >= it.sequence, "{told:?}");
        }
    }

    /// Asserts that nobody activated anything but those who were told so.
    pub(super) async fn has_nothing_else(&self, told: &[Acknowledged]) {
        let activated = told.iter().filter(|it| it.activates).count();
        let count = "SELECT SUM(last_revision - 1)::bigint::text FROM deployments \
                     WHERE target_replicas > 0";
        assert_eq!(self.text(count).await, activated.to_string());
    }

    /// The routes that run, of one group.
    pub(super) async fn running(&self, group: &str) -> BTreeSet<String> {
        let rows = self.client.query(RUNNING, &[&group]).await;
        rows.expect(RUNNING).iter().map(|row| row.get(0)).collect()
    }

    /// Asserts that all times in it are of one clock: between a moment and now,
    /// but for those that are to come.
    pub(super) async fn is_of_one_clock(&self, since: &str) {
        let columns = self.client.query(INSTANTS, &[]).await.expect(INSTANTS);
        assert!(columns.len() > 10, "{} columns", columns.len());
        for row in columns {
            let (table, column): (String, String) = (row.get(0), row.get(1));
            let count = format!(
                "SELECT COUNT(*)::text FROM {table} WHERE {column} < '{since}' \
                 OR {column} > clock_timestamp() + interval '15 minutes'"
            );
            assert_eq!(self.text(&count).await, "0", "{table}.{column}");
        }
    }

    async fn text(&self, query: &str) -> String {
        let row = self.client.query_one(query, &[]).await;
        row.expect(query).get(0)
    }
}

/// The number of deployments and of assignments that are not at rest first, and
/// then what changes as long as something happens.
const LEFT: &str = "\
    SELECT (SELECT COUNT(*) FROM deployments WHERE lifecycle <> 'READY' OR due_at IS NOT NULL) \
         + (SELECT COUNT(*) FROM assignments) \
        || ' at rest not, sequences ' || (SELECT SUM(sequence) FROM deployments)";

const ROUTES: &str = "\
    SELECT d.name, v.number, COUNT(r.id), COUNT(r.id) FILTER (WHERE r.status = 'FAILED_TO_START' \
        OR r.status = 'TERMINATED' AND r.drained_at IS NULL) \
    FROM deployments AS d JOIN revisions AS v ON v.deployment_id = d.id \
    LEFT JOIN routes AS r ON r.revision_id = v.id \
    WHERE d.target_replicas > 0 GROUP BY d.id, v.id";

const MOVES: &str = "\
    SELECT d.name, d.last_revision, COUNT(*) FILTER (WHERE h.phase = 'ACTIVATE'), \
        COUNT(*) FILTER (WHERE h.phase = 'PROMOTE'), \
        COUNT(*) FILTER (WHERE h.result = 'ROLLED_BACK' AND h.to_lifecycle = 'READY') \
    FROM deployments AS d JOIN history AS h ON h.deployment_id = d.id \
    WHERE d.target_replicas > 0 GROUP BY d.id";

const REPLIES: &str = "\
    SELECT (p.reply::jsonb #>> '{deployment,generation}')::bigint, \
        (p.reply::jsonb #>> '{deployment,sequence}')::bigint, d.sequence \
    FROM UNNEST($1::text[]) WITH ORDINALITY AS t (id, n) \
    JOIN replies AS p ON p.request_id = t.id::uuid \
    JOIN deployments AS d ON d.id = (p.reply::jsonb #>> '{deployment,id}')::uuid ORDER BY t.n";

const RUNNING: &str = "\
    SELECT r.id::text FROM routes AS r JOIN deployments AS d ON d.id = r.deployment_id \
    WHERE r.status = 'RUNNING' AND d.metadata::jsonb ->> 'resource_group' = $1";

const INSTANTS: &str = "\
    SELECT table_name::text, column_name::text FROM information_schema.columns \
    WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'";
