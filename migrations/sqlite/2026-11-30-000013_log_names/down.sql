ALTER TABLE horizon DROP COLUMN log_name;
ALTER TABLE horizon DROP COLUMN token_key;
ALTER TABLE horizon DROP COLUMN unsealed_until;
