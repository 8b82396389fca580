-- The resource group is searched by: the routes of a group are listed. It never changes, so
-- updates of a deployment do not touch the index.
ALTER TABLE deployments ADD COLUMN resource_group TEXT NOT NULL DEFAULT '';
UPDATE deployments SET resource_group = coalesce(metadata ->> 'resource_group', '');
CREATE INDEX deployments_of_group ON deployments (resource_group, id);
