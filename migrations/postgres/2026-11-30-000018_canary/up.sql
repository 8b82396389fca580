-- A canary: the step whose share the new revision has, and that share in per mille. `shares` is
-- what a traffic table has besides its lines. `rollout_number` counts activated revisions; of
-- those before, restarts counted as well.
ALTER TABLE deployments ADD COLUMN rollout_number bigint NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN canary_step integer NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN weight_permille integer CHECK (weight_permille BETWEEN 0 AND 999);
ALTER TABLE deployments ADD COLUMN shares text;
ALTER TABLE history ADD COLUMN weight_permille integer;
UPDATE deployments SET rollout_number = last_activation;

ALTER TABLE deployments DROP CONSTRAINT deployments_sub_step_check;
ALTER TABLE deployments ADD CONSTRAINT deployments_sub_step_check
    CHECK (sub_step IN ('PROVISIONING', 'SHIFTING', 'AWAITING_PROMOTION', 'ROLLING_BACK'));
