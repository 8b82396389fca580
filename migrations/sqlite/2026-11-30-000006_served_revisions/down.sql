ALTER TABLE deployments DROP COLUMN served;
