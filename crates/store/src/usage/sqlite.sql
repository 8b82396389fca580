-- Counts again what projects use.
DELETE FROM project_usage;
INSERT INTO project_usage (project, deployments, replicas, revisions, bytes)
SELECT d.project,
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE 1 END),
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE d.target_replicas END),
       SUM((SELECT COUNT(*) FROM revisions AS r WHERE r.deployment_id = d.id)),
       SUM(octet_length(d.metadata)
           + (SELECT COALESCE(SUM(octet_length(l.key) + octet_length(l.value)), 0)
              FROM json_each(CASE json_type(d.labels) WHEN 'object' THEN d.labels ELSE '{}' END) AS l)
           + (SELECT COALESCE(SUM(octet_length(r.spec)), 0) FROM revisions AS r WHERE r.deployment_id = d.id))
FROM deployments AS d
GROUP BY d.project;
