-- The log has a name, and tokens that continue in it are sealed with a key: all servers of
-- the database have the same. Tokens of earlier programs have no seal; those are taken up to
-- the position at which this migration found the log.
ALTER TABLE horizon
    ADD COLUMN log_name bytea,
    ADD COLUMN token_key bytea,
    ADD COLUMN unsealed_until bigint;

-- A random UUID has 122 random bits, which two of them make enough for a key.
UPDATE horizon SET
    log_name = uuid_send(gen_random_uuid()),
    token_key = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
    unsealed_until = GREATEST(events, deployments, (SELECT MAX(position) FROM events));

ALTER TABLE horizon
    ALTER COLUMN log_name SET NOT NULL,
    ALTER COLUMN token_key SET NOT NULL,
    ALTER COLUMN unsealed_until SET NOT NULL;
