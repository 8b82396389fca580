-- An id of several projects keeps its first reply.
DELETE FROM replies AS r USING replies AS first
WHERE first.request_id = r.request_id
  AND (first.created_at, first.project) < (r.created_at, r.project);

ALTER TABLE replies
    DROP CONSTRAINT replies_pkey,
    ADD PRIMARY KEY (request_id),
    DROP COLUMN project;
