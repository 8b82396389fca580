ALTER TABLE deployments DROP COLUMN restarted;
ALTER TABLE routes DROP COLUMN drain_requested_at;
