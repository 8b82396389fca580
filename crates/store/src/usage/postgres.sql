-- Counts again what projects use.
-- Whoever has counted in an open transaction is waited for, and seen. Whoever has not yet done so
-- counts after this, and is not seen: each change counts once.
LOCK TABLE project_usage IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM project_usage;
INSERT INTO project_usage (project, deployments, replicas, revisions, bytes)
SELECT d.project,
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE 1 END),
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE d.target_replicas END),
       SUM((SELECT COUNT(*) FROM revisions AS r WHERE r.deployment_id = d.id)),
       SUM(octet_length(d.metadata)
           + (SELECT COALESCE(SUM(octet_length(l.key) + octet_length(l.value)), 0)
              FROM jsonb_each_text(CASE jsonb_typeof(d.labels::jsonb) WHEN 'object' THEN d.labels::jsonb ELSE '{}' END) AS l)
           + (SELECT COALESCE(SUM(octet_length(r.spec)), 0) FROM revisions AS r WHERE r.deployment_id = d.id))
FROM deployments AS d
GROUP BY d.project;
