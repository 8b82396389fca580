ALTER TABLE deployments DROP COLUMN deploying_revision_number;
ALTER TABLE deployments DROP COLUMN current_revision_number;
ALTER TABLE deployments DROP COLUMN last_rollout;
