-- Routes of the current revision are replaced by new ones of the same revision: all of earlier
-- activations after a restart, and one that a caller wants out.
ALTER TABLE deployments ADD COLUMN restarted INTEGER NOT NULL DEFAULT 0 CHECK (restarted IN (0, 1));
ALTER TABLE routes ADD COLUMN drain_requested_at TEXT;
