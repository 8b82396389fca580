ALTER TABLE routes DROP COLUMN once_healthy;
ALTER TABLE routes DROP COLUMN health_detail;
ALTER TABLE routes DROP COLUMN health_observed_at;
