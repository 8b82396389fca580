-- The revisions that served before the current one, oldest first: a second roll-back leads
-- further back. What is known of the time before is the last of them.
ALTER TABLE deployments ADD COLUMN served text NOT NULL DEFAULT '[]';

UPDATE deployments SET served = '["' || previous_revision_id || '"]'
WHERE previous_revision_id IS NOT NULL;
