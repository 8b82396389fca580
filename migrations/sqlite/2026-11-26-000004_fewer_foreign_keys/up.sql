-- What is written by each move, in the transaction that holds the deployment it
-- is about: it need not be looked for again. `viridian check` looks for all of it
-- at once. SQLite drops no constraint: the tables are made anew.
CREATE TABLE new_assignments (
    route_id       BLOB PRIMARY KEY NOT NULL,
    resource_group TEXT NOT NULL,
    action         TEXT NOT NULL CHECK (action IN ('START', 'STOP')),
    available_at   TEXT NOT NULL
) STRICT;

INSERT INTO new_assignments SELECT * FROM assignments;
DROP TABLE assignments;
ALTER TABLE new_assignments RENAME TO assignments;

CREATE INDEX assignments_of_group ON assignments (resource_group, available_at, route_id);

CREATE TABLE new_history (
    deployment_id  BLOB NOT NULL,
    number         INTEGER NOT NULL CHECK (number > 0),
    phase          TEXT NOT NULL,
    result         TEXT NOT NULL CHECK (result IN ('SUCCESS', 'WAITING', 'ROLLED_BACK')),
    from_lifecycle TEXT,
    from_sub_step  TEXT,
    to_lifecycle   TEXT NOT NULL,
    to_sub_step    TEXT,
    revision_id    BLOB,
    actor          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    request_id     BLOB,
    status         TEXT NOT NULL,
    attempts       INTEGER NOT NULL CHECK (attempts > 0),
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL,
    PRIMARY KEY (deployment_id, number)
) STRICT;

INSERT INTO new_history SELECT * FROM history;
DROP TABLE history;
ALTER TABLE new_history RENAME TO history;

CREATE TABLE new_events (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment_id BLOB NOT NULL,
    sequence      INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    snapshot      TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    UNIQUE (deployment_id, sequence)
) STRICT;

INSERT INTO new_events SELECT * FROM events;

-- Positions that were pruned are not given again.
DELETE FROM sqlite_sequence WHERE name = 'new_events';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_events', seq FROM sqlite_sequence WHERE name = 'events';

DROP TABLE events;
ALTER TABLE new_events RENAME TO events;
