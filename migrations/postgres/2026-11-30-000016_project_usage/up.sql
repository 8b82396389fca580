-- What each project uses, counted in the transactions that change it: a quota is a condition
-- on this row, and no two callers get past it at the same time.
CREATE TABLE project_usage (
    project     text PRIMARY KEY,
    deployments bigint NOT NULL,
    replicas    bigint NOT NULL,
    revisions   bigint NOT NULL,
    bytes       bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO project_usage (project, deployments, replicas, revisions, bytes)
SELECT d.project,
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE 1 END),
       SUM(CASE WHEN d.lifecycle IN ('DESTROYING', 'DESTROYED') THEN 0 ELSE d.target_replicas END),
       SUM((SELECT COUNT(*) FROM revisions AS r WHERE r.deployment_id = d.id)),
       SUM(octet_length(d.metadata)
           + (SELECT COALESCE(SUM(octet_length(l.key) + octet_length(l.value)), 0)
              FROM jsonb_each_text(d.labels::jsonb) AS l)
           + (SELECT COALESCE(SUM(octet_length(r.spec)), 0) FROM revisions AS r WHERE r.deployment_id = d.id))
FROM deployments AS d
GROUP BY d.project;
