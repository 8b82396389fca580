DROP INDEX events_of_commit;

ALTER TABLE events DROP COLUMN commit_id;
ALTER TABLE history DROP COLUMN commit_id;
ALTER TABLE deployments DROP COLUMN commit_id;
