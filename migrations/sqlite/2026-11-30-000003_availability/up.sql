-- How well each deployment serves, and whether its routes keep failing: for lists, and
-- for metrics, which would have to read all routes and documents otherwise.
ALTER TABLE deployments ADD COLUMN availability TEXT
    CHECK (availability = 'AVAILABLE' OR availability = 'DEGRADED' OR availability = 'UNAVAILABLE' OR availability = 'IDLE');
ALTER TABLE deployments ADD COLUMN backing_off INTEGER NOT NULL DEFAULT 0 CHECK (backing_off IN (0, 1));

UPDATE deployments SET backing_off = 1 WHERE status LIKE '%"BackOff"%';

-- The entries of its history that may still be added to.
ALTER TABLE deployments ADD COLUMN open_entries TEXT;

UPDATE deployments SET availability = CASE
    WHEN target_replicas = 0 THEN 'IDLE'
    WHEN (
        SELECT COUNT(*) FROM routes AS r
        WHERE r.deployment_id = deployments.id AND r.traffic_status = 'ACTIVE'
          AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '') >= target_replicas THEN 'AVAILABLE'
    WHEN (
        SELECT COUNT(*) FROM routes AS r
        WHERE r.deployment_id = deployments.id AND r.traffic_status = 'ACTIVE'
          AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '') > 0 THEN 'DEGRADED'
    ELSE 'UNAVAILABLE' END
WHERE lifecycle IN ('READY', 'DEPLOYING')
   OR (lifecycle = 'PENDING' AND current_revision_id IS NOT NULL);

-- What each entry did with routes; and of how many routes it is, and why the first failed.
ALTER TABLE history ADD COLUMN routes_created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN routes_promoted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN routes_drained INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN route_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN failure TEXT NOT NULL DEFAULT '';

-- Something that broke is another result. As in `plain_checks`: it is enough to say it in
-- the schema, since nothing that is kept changes.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'')',
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'' OR result = ''FAILED'')')
WHERE type = 'table' AND name = 'history';

PRAGMA writable_schema = RESET;
