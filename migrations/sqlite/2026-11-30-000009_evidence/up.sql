-- What a health rests on: when it was last observed, why it is so, and whether the
-- route has been HEALTHY in its present session.
ALTER TABLE routes ADD COLUMN health_observed_at TEXT;
ALTER TABLE routes ADD COLUMN health_detail TEXT NOT NULL DEFAULT '';
ALTER TABLE routes ADD COLUMN once_healthy INTEGER NOT NULL DEFAULT 0 CHECK (once_healthy IN (0, 1));

-- Nobody knows which routes have been HEALTHY before. Those that take traffic keep it.
UPDATE routes SET
    health_observed_at = health_updated_at,
    once_healthy = (health = 'HEALTHY' OR (status = 'RUNNING' AND traffic_status = 'ACTIVE'));

-- Any text was taken for an address. What is not HOST:PORT is as good as none.
UPDATE routes SET address = ''
WHERE address <> '' AND id NOT IN (
    SELECT a.id
    FROM (
        SELECT id, rtrim(address, '0123456789') AS head,
               substr(address, length(rtrim(address, '0123456789')) + 1) AS port
        FROM routes) AS a
    WHERE length(a.port) BETWEEN 1 AND 5 AND a.port NOT LIKE '0%' AND CAST(a.port AS INTEGER) <= 65535
      AND (a.head GLOB '[A-Za-z0-9_]*:' AND a.head NOT GLOB '*[^A-Za-z0-9._:-]*' AND a.head NOT GLOB '*:*:'
        OR a.head GLOB '[[]*[]]:' AND trim(a.head, '[]:') NOT GLOB '*[^0-9A-Fa-f:.]*')
      AND a.head NOT IN ('0.0.0.0:', '[::]:'));

-- Of several that run at one place only the first can.
UPDATE routes SET address = ''
WHERE address <> '' AND status = 'RUNNING' AND EXISTS (
    SELECT 1 FROM routes AS first
    WHERE first.deployment_id = routes.deployment_id AND first.status = 'RUNNING'
      AND first.address = routes.address AND first.id < routes.id);

-- They are in no table any more, and the deployment says why: at its next evaluation.
UPDATE deployments SET due_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
WHERE lifecycle <> 'DESTROYED' AND EXISTS (
    SELECT 1 FROM routes
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
