-- Programs of before cannot read a deployment whose policy is a canary's: change it first. Its rows
-- are kept as they are, but for the sub-step.
UPDATE deployments SET sub_step = 'PROVISIONING' WHERE sub_step = 'SHIFTING';

ALTER TABLE history DROP COLUMN weight_permille;
ALTER TABLE deployments DROP COLUMN shares;
ALTER TABLE deployments DROP COLUMN weight_permille;
ALTER TABLE deployments DROP COLUMN canary_step;
ALTER TABLE deployments DROP COLUMN rollout_number;

PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''SHIFTING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')',
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')')
WHERE type = 'table' AND name = 'deployments';

PRAGMA writable_schema = RESET;
