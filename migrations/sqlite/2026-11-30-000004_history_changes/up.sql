-- The settings that a call changed, with their old and new values. Most moves change none.
ALTER TABLE history ADD COLUMN changes TEXT;
