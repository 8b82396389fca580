-- The deployments: what is asked of each, where it is, and when to look at it.
CREATE TABLE deployments (
    id                     BLOB PRIMARY KEY NOT NULL,
    project                TEXT NOT NULL,
    name                   TEXT NOT NULL,
    labels                 TEXT NOT NULL,
    metadata               TEXT NOT NULL,
    lifecycle              TEXT NOT NULL
        CHECK (lifecycle IN ('PENDING', 'READY', 'DEPLOYING', 'DESTROYING', 'DESTROYED')),
    sub_step               TEXT
        CHECK (sub_step IN ('PROVISIONING', 'AWAITING_PROMOTION', 'ROLLING_BACK')),
    current_revision_id    BLOB REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED,
    deploying_revision_id  BLOB REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED,
    previous_revision_id   BLOB REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED,
    current_since          TEXT NOT NULL,
    rollout                TEXT,
    target_replicas        INTEGER NOT NULL CHECK (target_replicas BETWEEN 0 AND 1000),
    policy                 TEXT NOT NULL,
    revision_history_limit INTEGER NOT NULL CHECK (revision_history_limit BETWEEN 1 AND 1000),
    paused                 INTEGER NOT NULL CHECK (paused IN (0, 1)),
    generation             INTEGER NOT NULL CHECK (generation > 0),
    sequence               INTEGER NOT NULL CHECK (sequence > 0),
    epoch                  INTEGER NOT NULL CHECK (epoch >= 0),
    last_revision          INTEGER NOT NULL,
    last_history           INTEGER NOT NULL,
    status                 TEXT NOT NULL,
    endpoints              TEXT NOT NULL,
    due_at                 TEXT,
    created_at             TEXT NOT NULL,
    updated_at             TEXT NOT NULL,
    phase_started_at       TEXT NOT NULL,
    deadline_at            TEXT,
    promoted_at            TEXT,
    CHECK ((lifecycle = 'DEPLOYING') = (sub_step IS NOT NULL)),
    CHECK ((lifecycle = 'DEPLOYING') = (deploying_revision_id IS NOT NULL)),
    CHECK ((lifecycle = 'DEPLOYING') = (rollout IS NOT NULL)),
    CHECK (lifecycle NOT IN ('READY', 'DEPLOYING') OR current_revision_id IS NOT NULL)
) STRICT;

-- A name is free as soon as its deployment is being destroyed.
CREATE UNIQUE INDEX deployments_live_name ON deployments (project, name)
    WHERE lifecycle NOT IN ('DESTROYING', 'DESTROYED');

-- The due queue: both the work queue and the timer.
CREATE INDEX deployments_due ON deployments (due_at) WHERE due_at IS NOT NULL;

-- The immutable versions of what to run.
CREATE TABLE revisions (
    id            BLOB PRIMARY KEY NOT NULL,
    deployment_id BLOB NOT NULL REFERENCES deployments (id),
    number        INTEGER NOT NULL CHECK (number > 0),
    spec          TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    UNIQUE (deployment_id, number)
) STRICT;

-- The replicas. No column that changes is indexed: their updates stay in place.
CREATE TABLE routes (
    id                BLOB PRIMARY KEY NOT NULL,
    deployment_id     BLOB NOT NULL REFERENCES deployments (id),
    revision_id       BLOB NOT NULL REFERENCES revisions (id),
    status            TEXT NOT NULL
        CHECK (status IN ('PROVISIONING', 'RUNNING', 'TERMINATING', 'TERMINATED', 'FAILED_TO_START')),
    health            TEXT NOT NULL
        CHECK (health IN ('NOT_CHECKED', 'HEALTHY', 'UNHEALTHY', 'DEGRADED')),
    traffic_status    TEXT NOT NULL CHECK (traffic_status IN ('ACTIVE', 'INACTIVE')),
    traffic_ratio     REAL NOT NULL CHECK (traffic_ratio BETWEEN 0.0 AND 1.0),
    session_id        TEXT NOT NULL,
    address           TEXT NOT NULL,
    failure           TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    status_updated_at TEXT NOT NULL,
    health_updated_at TEXT,
    drained_at        TEXT,
    retained_at       TEXT,
    CHECK ((traffic_status = 'ACTIVE') = (traffic_ratio > 0.0)),
    CHECK (traffic_status = 'INACTIVE' OR status IN ('PROVISIONING', 'RUNNING')),
    CHECK (traffic_status = 'INACTIVE' OR retained_at IS NULL)
) STRICT;

CREATE INDEX routes_of_deployment ON routes (deployment_id, id);

-- What schedulers have yet to do: a row is gone when it is done.
CREATE TABLE assignments (
    route_id       BLOB PRIMARY KEY NOT NULL REFERENCES routes (id),
    resource_group TEXT NOT NULL,
    action         TEXT NOT NULL CHECK (action IN ('START', 'STOP')),
    available_at   TEXT NOT NULL
) STRICT;

CREATE INDEX assignments_of_group ON assignments (resource_group, available_at, route_id);

-- What happened, a row a move. Nothing is ever changed here but the count of
-- repeats of the last row.
CREATE TABLE history (
    deployment_id  BLOB NOT NULL REFERENCES deployments (id),
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

-- What could be seen of a deployment at each sequence.
CREATE TABLE events (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment_id BLOB NOT NULL REFERENCES deployments (id),
    sequence      INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    snapshot      TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    UNIQUE (deployment_id, sequence)
) STRICT;

-- The first reply to each request_id.
CREATE TABLE replies (
    request_id  BLOB PRIMARY KEY NOT NULL,
    method      TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    reply       TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;
