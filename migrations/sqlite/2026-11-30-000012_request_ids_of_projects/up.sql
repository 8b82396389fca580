-- A request id belongs to a project: what one tenant calls says nothing about another's ids.
-- SQLite cannot change the primary key of a table.
CREATE TABLE new_replies (
    request_id  BLOB NOT NULL,
    method      TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    reply       TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    project     TEXT NOT NULL,
    PRIMARY KEY (request_id, project)
) STRICT;

-- The reply has the deployment, whose project never changes.
INSERT INTO new_replies (request_id, method, fingerprint, reply, created_at, project)
SELECT request_id, method, fingerprint, reply, created_at,
       COALESCE(json_extract(reply, '$.deployment.project'), '')
FROM replies;

DROP TABLE replies;
ALTER TABLE new_replies RENAME TO replies;
