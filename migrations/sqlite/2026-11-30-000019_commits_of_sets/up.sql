-- What a set of deployments changed in one transaction has one `commit_id`; what a call on one
-- deployment changed has none. That of a deployment is of the change that made its present
-- traffic table.
ALTER TABLE deployments ADD COLUMN commit_id BLOB;
ALTER TABLE history ADD COLUMN commit_id BLOB;
ALTER TABLE events ADD COLUMN commit_id BLOB;

-- Sets are rare, and so are their rows in it.
CREATE INDEX events_of_commit ON events (commit_id) WHERE commit_id IS NOT NULL;
