-- Activations are numbered: a route counts for the one in which it was created. Until here they
-- were told apart by time.
ALTER TABLE deployments ADD COLUMN last_activation INTEGER NOT NULL DEFAULT 0
    CHECK (last_activation >= 0);
ALTER TABLE deployments ADD COLUMN current_activation INTEGER NOT NULL DEFAULT 0
    CHECK (current_activation BETWEEN 0 AND last_activation);
ALTER TABLE routes ADD COLUMN activation INTEGER NOT NULL DEFAULT 0 CHECK (activation >= 0);

-- Of earlier activations only two are known: 1 made the current revision, 2 is the rollout under
-- way. What is older stays 0 and counts nowhere, as before.
UPDATE deployments SET
    last_activation = CASE
        WHEN current_revision_id IS NULL THEN 0 WHEN lifecycle = 'DEPLOYING' THEN 2 ELSE 1 END,
    current_activation = current_revision_id IS NOT NULL;

UPDATE routes SET activation = 1
WHERE EXISTS (
    SELECT 1 FROM deployments AS d
    WHERE d.id = routes.deployment_id AND d.current_revision_id = routes.revision_id
      AND routes.created_at >= d.current_since);

-- The rollout has its time in microseconds.
UPDATE routes SET activation = 2
WHERE EXISTS (
    SELECT 1 FROM deployments AS d
    WHERE d.id = routes.deployment_id AND d.deploying_revision_id = routes.revision_id
      AND unixepoch(routes.created_at) * 1000000 + CAST(substr(routes.created_at, 21, 6) AS INTEGER)
          >= json_extract(d.rollout, '$.since'));

ALTER TABLE deployments DROP COLUMN current_since;
