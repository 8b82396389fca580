ALTER TABLE horizon
    DROP COLUMN log_name,
    DROP COLUMN token_key,
    DROP COLUMN unsealed_until;
