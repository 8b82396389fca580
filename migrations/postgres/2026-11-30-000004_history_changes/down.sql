ALTER TABLE history DROP COLUMN changes;
