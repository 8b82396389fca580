-- Programs of before cannot read a deployment whose policy is a canary's: change it first. Its rows
-- are kept as they are, but for the sub-step.
UPDATE deployments SET sub_step = 'PROVISIONING' WHERE sub_step = 'SHIFTING';

ALTER TABLE deployments DROP CONSTRAINT deployments_sub_step_check;
ALTER TABLE deployments ADD CONSTRAINT deployments_sub_step_check
    CHECK (sub_step IN ('PROVISIONING', 'AWAITING_PROMOTION', 'ROLLING_BACK'));

ALTER TABLE history DROP COLUMN weight_permille;
ALTER TABLE deployments DROP COLUMN shares;
ALTER TABLE deployments DROP COLUMN weight_permille;
ALTER TABLE deployments DROP COLUMN canary_step;
ALTER TABLE deployments DROP COLUMN rollout_number;
