-- The clock of a first revision that has yet to come up. One of an earlier program starts with
-- the next thing that happens to its deployment.
ALTER TABLE deployments ADD COLUMN coming_up TEXT;

UPDATE deployments SET coming_up = '{"spent":{"secs":0,"nanos":0},"since":null}'
WHERE lifecycle = 'PENDING' AND current_revision_id IS NOT NULL;
