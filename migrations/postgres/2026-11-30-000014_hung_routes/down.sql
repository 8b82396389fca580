ALTER TABLE routes DROP COLUMN hung_at;
