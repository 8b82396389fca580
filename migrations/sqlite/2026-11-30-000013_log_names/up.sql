-- The log has a name, and tokens that continue in it are sealed with a key: all servers of
-- the database have the same. Tokens of earlier programs have no seal; those are taken up to
-- the position at which this migration found the log.
CREATE TABLE new_horizon (
    id               INTEGER PRIMARY KEY CHECK (id = 1),
    events           INTEGER NOT NULL,
    deployments      INTEGER NOT NULL,
    clock_correction INTEGER NOT NULL DEFAULT 0,
    log_name         BLOB NOT NULL,
    token_key        BLOB NOT NULL,
    unsealed_until   INTEGER NOT NULL
) STRICT;

INSERT INTO new_horizon (
    id, events, deployments, clock_correction, log_name, token_key, unsealed_until)
SELECT id, events, deployments, clock_correction, randomblob(16), randomblob(32),
       MAX(events, deployments, (SELECT COALESCE(MAX(position), 0) FROM events))
FROM horizon;

DROP TABLE horizon;
ALTER TABLE new_horizon RENAME TO horizon;
