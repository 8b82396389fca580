ALTER TABLE deployments DROP COLUMN coming_up;
