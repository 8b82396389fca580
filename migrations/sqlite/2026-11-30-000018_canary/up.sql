-- A canary: the step whose share the new revision has, and that share in per mille. `shares` is
-- what a traffic table has besides its lines. `rollout_number` counts activated revisions; of
-- those before, restarts counted as well.
ALTER TABLE deployments ADD COLUMN rollout_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN canary_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN weight_permille INTEGER CHECK (weight_permille BETWEEN 0 AND 999);
ALTER TABLE deployments ADD COLUMN shares TEXT;
ALTER TABLE history ADD COLUMN weight_permille INTEGER;
UPDATE deployments SET rollout_number = last_activation;

-- Nothing that is kept changes: it is enough to say it in the schema, as is described under "Making
-- Other Kinds Of Table Schema Changes" in SQLite's ALTER TABLE. Nobody else has the file open.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')',
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''SHIFTING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')')
WHERE type = 'table' AND name = 'deployments';

PRAGMA writable_schema = RESET;
