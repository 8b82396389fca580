-- When something was last reported of each route. Written now and then, for many
-- at once, and read by no decision.
CREATE TABLE last_reports (
    route_id  BLOB PRIMARY KEY NOT NULL REFERENCES routes (id) ON DELETE CASCADE,
    status_at TEXT,
    health_at TEXT
) STRICT;
