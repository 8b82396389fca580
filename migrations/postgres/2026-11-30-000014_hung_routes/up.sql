-- When a route was drained because it had been UNHEALTHY for too long: such ends in a row make
-- the next new route wait.
ALTER TABLE routes ADD COLUMN hung_at timestamptz;
