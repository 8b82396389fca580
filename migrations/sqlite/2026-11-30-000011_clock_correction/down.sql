ALTER TABLE horizon DROP COLUMN clock_correction;
