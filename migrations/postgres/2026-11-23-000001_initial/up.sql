-- The deployments: what is asked of each, where it is, and when to look at it.
CREATE TABLE deployments (
    id                     uuid PRIMARY KEY,
    project                text NOT NULL,
    name                   text NOT NULL,
    labels                 jsonb NOT NULL,
    metadata               jsonb NOT NULL,
    lifecycle              text NOT NULL
        CHECK (lifecycle IN ('PENDING', 'READY', 'DEPLOYING', 'DESTROYING', 'DESTROYED')),
    sub_step               text
        CHECK (sub_step IN ('PROVISIONING', 'AWAITING_PROMOTION', 'ROLLING_BACK')),
    current_revision_id    uuid,
    deploying_revision_id  uuid,
    previous_revision_id   uuid,
    current_since          timestamptz NOT NULL,
    rollout                jsonb,
    target_replicas        integer NOT NULL CHECK (target_replicas BETWEEN 0 AND 1000),
    policy                 jsonb NOT NULL,
    revision_history_limit integer NOT NULL CHECK (revision_history_limit BETWEEN 1 AND 1000),
    paused                 boolean NOT NULL,
    generation             bigint NOT NULL CHECK (generation > 0),
    sequence               bigint NOT NULL CHECK (sequence > 0),
    epoch                  bigint NOT NULL CHECK (epoch >= 0),
    last_revision          bigint NOT NULL,
    last_history           bigint NOT NULL,
    status                 jsonb NOT NULL,
    endpoints              jsonb NOT NULL,
    due_at                 timestamptz,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    phase_started_at       timestamptz NOT NULL,
    deadline_at            timestamptz,
    promoted_at            timestamptz,
    CHECK ((lifecycle = 'DEPLOYING') = (sub_step IS NOT NULL)),
    CHECK ((lifecycle = 'DEPLOYING') = (deploying_revision_id IS NOT NULL)),
    CHECK ((lifecycle = 'DEPLOYING') = (rollout IS NOT NULL)),
    CHECK (lifecycle NOT IN ('READY', 'DEPLOYING') OR current_revision_id IS NOT NULL)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- A name is free as soon as its deployment is being destroyed.
CREATE UNIQUE INDEX deployments_live_name ON deployments (project, name)
    WHERE lifecycle NOT IN ('DESTROYING', 'DESTROYED');

-- The due queue: both the work queue and the timer.
CREATE INDEX deployments_due ON deployments (due_at) WHERE due_at IS NOT NULL;

-- The immutable versions of what to run.
CREATE TABLE revisions (
    id            uuid PRIMARY KEY,
    deployment_id uuid NOT NULL REFERENCES deployments (id),
    number        bigint NOT NULL CHECK (number > 0),
    spec          jsonb NOT NULL,
    created_at    timestamptz NOT NULL,
    created_by    text NOT NULL,
    UNIQUE (deployment_id, number)
);

ALTER TABLE deployments
    ADD FOREIGN KEY (current_revision_id) REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (deploying_revision_id) REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (previous_revision_id) REFERENCES revisions (id) DEFERRABLE INITIALLY DEFERRED;

-- The replicas. No column that changes is indexed: their updates stay in place.
CREATE TABLE routes (
    id                uuid PRIMARY KEY,
    deployment_id     uuid NOT NULL REFERENCES deployments (id),
    revision_id       uuid NOT NULL REFERENCES revisions (id),
    status            text NOT NULL
        CHECK (status IN ('PROVISIONING', 'RUNNING', 'TERMINATING', 'TERMINATED', 'FAILED_TO_START')),
    health            text NOT NULL
        CHECK (health IN ('NOT_CHECKED', 'HEALTHY', 'UNHEALTHY', 'DEGRADED')),
    traffic_status    text NOT NULL CHECK (traffic_status IN ('ACTIVE', 'INACTIVE')),
    traffic_ratio     double precision NOT NULL CHECK (traffic_ratio BETWEEN 0.0 AND 1.0),
    session_id        text NOT NULL,
    address           text NOT NULL,
    failure           text NOT NULL,
    created_at        timestamptz NOT NULL,
    status_updated_at timestamptz NOT NULL,
    health_updated_at timestamptz,
    drained_at        timestamptz,
    retained_at       timestamptz,
    CHECK ((traffic_status = 'ACTIVE') = (traffic_ratio > 0.0)),
    CHECK (traffic_status = 'INACTIVE' OR status IN ('PROVISIONING', 'RUNNING')),
    CHECK (traffic_status = 'INACTIVE' OR retained_at IS NULL)
) WITH (fillfactor = 50);

CREATE INDEX routes_of_deployment ON routes (deployment_id, id);

-- What schedulers have yet to do: a row is gone when it is done.
CREATE TABLE assignments (
    route_id       uuid PRIMARY KEY REFERENCES routes (id),
    resource_group text NOT NULL,
    action         text NOT NULL CHECK (action IN ('START', 'STOP')),
    available_at   timestamptz NOT NULL
);

CREATE INDEX assignments_of_group ON assignments (resource_group, available_at, route_id);

-- What happened, a row a move. Nothing is ever changed here but the count of
-- repeats of the last row.
CREATE TABLE history (
    deployment_id  uuid NOT NULL REFERENCES deployments (id),
    number         bigint NOT NULL CHECK (number > 0),
    phase          text NOT NULL,
    result         text NOT NULL CHECK (result IN ('SUCCESS', 'WAITING', 'ROLLED_BACK')),
    from_lifecycle text,
    from_sub_step  text,
    to_lifecycle   text NOT NULL,
    to_sub_step    text,
    revision_id    uuid,
    actor          text NOT NULL,
    reason         text NOT NULL,
    request_id     uuid,
    status         jsonb NOT NULL,
    attempts       integer NOT NULL CHECK (attempts > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (deployment_id, number)
);

-- What could be seen of a deployment at each sequence.
CREATE TABLE events (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id uuid NOT NULL REFERENCES deployments (id),
    sequence      bigint NOT NULL,
    kind          text NOT NULL,
    snapshot      jsonb NOT NULL,
    created_at    timestamptz NOT NULL,
    UNIQUE (deployment_id, sequence)
);

-- The first reply to each request_id.
CREATE TABLE replies (
    request_id  uuid PRIMARY KEY,
    method      text NOT NULL,
    fingerprint bytea NOT NULL,
    reply       jsonb NOT NULL,
    created_at  timestamptz NOT NULL
);
