-- When something was last reported of each route. Written now and then, for many
-- at once, and read by no decision.
CREATE TABLE last_reports (
    route_id  uuid PRIMARY KEY REFERENCES routes (id) ON DELETE CASCADE,
    status_at timestamptz,
    health_at timestamptz
) WITH (fillfactor = 50);
