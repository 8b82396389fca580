-- The revisions that served before the current one, oldest first: a second roll-back leads
-- further back. What is known of the time before is the last of them.
ALTER TABLE deployments ADD COLUMN served TEXT NOT NULL DEFAULT '[]';

UPDATE deployments SET served = '["'
    || lower(substr(hex(previous_revision_id), 1, 8)) || '-'
    || lower(substr(hex(previous_revision_id), 9, 4)) || '-'
    || lower(substr(hex(previous_revision_id), 13, 4)) || '-'
    || lower(substr(hex(previous_revision_id), 17, 4)) || '-'
    || lower(substr(hex(previous_revision_id), 21, 12)) || '"]'
WHERE previous_revision_id IS NOT NULL;
