-- A request id belongs to a project: what one tenant calls says nothing about another's ids.
ALTER TABLE replies ADD COLUMN project text;

-- The reply has the deployment, whose project never changes.
UPDATE replies SET project = COALESCE(reply::jsonb #>> '{deployment,project}', '');

ALTER TABLE replies
    ALTER COLUMN project SET NOT NULL,
    DROP CONSTRAINT replies_pkey,
    ADD PRIMARY KEY (request_id, project);
