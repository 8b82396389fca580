-- How well each deployment serves, and whether its routes keep failing: for lists, and
-- for metrics, which would have to read all routes and documents otherwise.
ALTER TABLE deployments ADD COLUMN availability text
    CHECK (availability IN ('AVAILABLE', 'DEGRADED', 'UNAVAILABLE', 'IDLE'));
ALTER TABLE deployments ADD COLUMN backing_off boolean NOT NULL DEFAULT false;

UPDATE deployments SET backing_off = true WHERE status LIKE '%"BackOff"%';

-- The entries of its history that may still be added to.
ALTER TABLE deployments ADD COLUMN open_entries text;

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
ALTER TABLE history ADD COLUMN routes_created integer NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN routes_promoted integer NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN routes_drained integer NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN route_count integer NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN failure text NOT NULL DEFAULT '';

-- Something that broke is another result.
ALTER TABLE history DROP CONSTRAINT history_result_check;
ALTER TABLE history ADD CONSTRAINT history_result_check
    CHECK (result IN ('SUCCESS', 'WAITING', 'ROLLED_BACK', 'FAILED'));
