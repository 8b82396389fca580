-- What each project uses, counted in the transactions that change it: a quota is a condition
-- on this row, and no two callers get past it at the same time.
CREATE TABLE project_usage (
    project     TEXT NOT NULL PRIMARY KEY,
    deployments INTEGER NOT NULL,
    replicas    INTEGER NOT NULL,
    revisions   INTEGER NOT NULL,
    bytes       INTEGER NOT NULL
) STRICT;

INSERT INTO project_usage (project, deployments, replicas, revisions, bytes)
SELECT d.project,
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE 1 END),
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE d.target_replicas END),
       SUM((SELECT COUNT(*) FROM revisions AS r WHERE r.deployment_id = d.id)),
       SUM(octet_length(d.metadata)
           + (SELECT COALESCE(SUM(octet_length(l.key) + octet_length(l.value)), 0)
              FROM json_each(d.labels) AS l)
           + (SELECT COALESCE(SUM(octet_length(r.spec)), 0) FROM revisions AS r WHERE r.deployment_id = d.id))
FROM deployments AS d
GROUP BY d.project;
