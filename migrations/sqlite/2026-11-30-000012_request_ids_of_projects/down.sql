CREATE TABLE old_replies (
    request_id  BLOB PRIMARY KEY NOT NULL,
    method      TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    reply       TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;

-- An id of several projects keeps its first reply.
INSERT OR IGNORE INTO old_replies (request_id, method, fingerprint, reply, created_at)
SELECT request_id, method, fingerprint, reply, created_at FROM replies
ORDER BY created_at, project;

DROP TABLE replies;
ALTER TABLE old_replies RENAME TO replies;
