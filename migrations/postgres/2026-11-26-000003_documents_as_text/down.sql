ALTER TABLE replies RESET (toast_tuple_target);
ALTER TABLE events RESET (toast_tuple_target);

ALTER TABLE replies ALTER COLUMN reply TYPE jsonb USING reply::jsonb;

ALTER TABLE events ALTER COLUMN snapshot TYPE jsonb USING snapshot::jsonb;

ALTER TABLE history ALTER COLUMN status TYPE jsonb USING status::jsonb;

ALTER TABLE revisions ALTER COLUMN spec TYPE jsonb USING spec::jsonb;

ALTER TABLE deployments
    ALTER COLUMN labels TYPE jsonb USING labels::jsonb,
    ALTER COLUMN metadata TYPE jsonb USING metadata::jsonb,
    ALTER COLUMN rollout TYPE jsonb USING rollout::jsonb,
    ALTER COLUMN policy TYPE jsonb USING policy::jsonb,
    ALTER COLUMN status TYPE jsonb USING status::jsonb,
    ALTER COLUMN endpoints TYPE jsonb USING endpoints::jsonb;
