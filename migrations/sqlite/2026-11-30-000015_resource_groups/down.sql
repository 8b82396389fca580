DROP INDEX deployments_of_group;
ALTER TABLE deployments DROP COLUMN resource_group;
