-- What a health rests on: when it was last observed, why it is so, and whether the
-- route has been HEALTHY in its present session.
ALTER TABLE routes ADD COLUMN health_observed_at timestamptz;
ALTER TABLE routes ADD COLUMN health_detail text NOT NULL DEFAULT '';
ALTER TABLE routes ADD COLUMN once_healthy boolean NOT NULL DEFAULT false;

-- Nobody knows which routes have been HEALTHY before. Those that take traffic keep it.
UPDATE routes SET
    health_observed_at = health_updated_at,
    once_healthy = (health = 'HEALTHY' OR (status = 'RUNNING' AND traffic_status = 'ACTIVE'));

-- Any text was taken for an address. What is not HOST:PORT is as good as none.
UPDATE routes SET address = ''
WHERE address <> '' AND (
    address !~ ('^([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])'
        || ':([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$')
    OR address ~ '^(0\.0\.0\.0|\[::\]):');

-- Of several that run at one place only the first can.
UPDATE routes SET address = ''
WHERE address <> '' AND status = 'RUNNING' AND EXISTS (
    SELECT FROM routes AS first
    WHERE first.deployment_id = routes.deployment_id AND first.status = 'RUNNING'
      AND first.address = routes.address AND first.id < routes.id);

-- They are in no table any more, and the deployment says why: at its next evaluation.
UPDATE deployments SET due_at = clock_timestamp()
WHERE lifecycle <> 'DESTROYED' AND EXISTS (
    SELECT FROM routes
    WHERE routes.deployment_id = deployments.id AND routes.status = 'RUNNING' AND routes.address = '');

-- They do not serve either, so that some deployments serve worse than was thought.
UPDATE deployments SET availability = CASE
    WHEN (
        SELECT COUNT(*) FROM routes AS r
        WHERE r.deployment_id = deployments.id AND r.traffic_status = 'ACTIVE'
          AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '') >= target_replicas THEN 'AVAILABLE'
    WHEN (
        SELECT COUNT(*) FROM routes AS r
        WHERE r.deployment_id = deployments.id AND r.traffic_status = 'ACTIVE'
          AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '') > 0 THEN 'DEGRADED'
    ELSE 'UNAVAILABLE' END
WHERE availability IS NOT NULL AND target_replicas > 0;
