-- When a scheduler took a route away that Viridian had not drained. Until now such a
-- route counted as failed once it had ended.
ALTER TABLE routes ADD COLUMN evicted_at TEXT;

UPDATE routes SET evicted_at = status_updated_at
WHERE status = 'TERMINATING' AND drained_at IS NULL;
