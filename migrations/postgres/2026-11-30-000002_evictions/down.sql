ALTER TABLE routes DROP COLUMN evicted_at;
