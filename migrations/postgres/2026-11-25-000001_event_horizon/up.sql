-- How far back the log of events reaches: some at or before these positions are
-- forgotten, by their age, or with their deployments. One row.
CREATE TABLE horizon (
    id          integer PRIMARY KEY CHECK (id = 1),
    events      bigint NOT NULL,
    deployments bigint NOT NULL
);

INSERT INTO horizon (id, events, deployments) VALUES (1, 0, 0);
