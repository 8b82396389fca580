//! The invariants that SQL can state, as queries that count violations.

use super::fixture::Fixture;

/// Panics when an invariant is broken anywhere in the database.
pub(super) async fn hold(fixture: &Fixture) {
    for (name, query) in INVARIANTS {
        assert_eq!(fixture.number(query).await, 0, "{name}: {query}");
    }
}

/// One query each that counts violations; the same text on both engines.
const INVARIANTS: [(&str, &str); 7] = [
    (
        "I2: ACTIVE routes are of one revision",
        "SELECT COUNT(*) AS n FROM (SELECT deployment_id FROM routes \
         WHERE traffic_status = 'ACTIVE' GROUP BY deployment_id \
         HAVING COUNT(DISTINCT revision_id) > 1) AS mixed",
    ),
    (
        "I3: DEPLOYING, deploying_revision and sub_step go together",
        "SELECT COUNT(*) AS n FROM deployments WHERE (lifecycle = 'DEPLOYING') \
         <> (deploying_revision_id IS NOT NULL) OR (lifecycle = 'DEPLOYING') \
         <> (sub_step IS NOT NULL)",
    ),
    (
        "I4: READY has ACTIVE routes of the current revision only",
        "SELECT COUNT(*) AS n FROM routes JOIN deployments ON deployments.id = deployment_id \
         WHERE lifecycle = 'READY' AND traffic_status = 'ACTIVE' \
         AND revision_id <> current_revision_id",
    ),
    (
        "I5: ACTIVE goes with a ratio, and with a route that is not ending",
        "SELECT COUNT(*) AS n FROM routes WHERE (traffic_status = 'ACTIVE') \
         <> (traffic_ratio > 0.0) OR (traffic_status = 'ACTIVE' \
         AND status NOT IN ('PROVISIONING', 'RUNNING'))",
    ),
    (
        "I7: history is numbered without gap",
        "SELECT COUNT(*) AS n FROM deployments WHERE last_history <> \
         (SELECT COUNT(*) FROM history WHERE deployment_id = deployments.id)",
    ),
    (
        "I7: each move begins where the last one ended",
        "SELECT COUNT(*) AS n FROM history AS a JOIN history AS b \
         ON b.deployment_id = a.deployment_id AND b.number = a.number + 1 \
         WHERE b.from_lifecycle <> a.to_lifecycle \
         OR COALESCE(b.from_sub_step, '') <> COALESCE(a.to_sub_step, '')",
    ),
    (
        "I7: the last move ends where the deployment is",
        "SELECT COUNT(*) AS n FROM deployments JOIN history \
         ON deployment_id = id AND number = last_history \
         WHERE to_lifecycle <> lifecycle OR COALESCE(to_sub_step, '') <> COALESCE(sub_step, '')",
    ),
];
