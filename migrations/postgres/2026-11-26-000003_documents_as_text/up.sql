-- Documents are written as they are and read as a whole, never searched: parsing
-- each of them again is a quarter of what a promotion costs the database.
ALTER TABLE deployments
    ALTER COLUMN labels TYPE text,
    ALTER COLUMN metadata TYPE text,
    ALTER COLUMN rollout TYPE text,
    ALTER COLUMN policy TYPE text,
    ALTER COLUMN status TYPE text,
    ALTER COLUMN endpoints TYPE text;

ALTER TABLE revisions ALTER COLUMN spec TYPE text;

ALTER TABLE history ALTER COLUMN status TYPE text;

ALTER TABLE events ALTER COLUMN snapshot TYPE text;

ALTER TABLE replies ALTER COLUMN reply TYPE text;

-- So does compressing what is a little longer than a quarter of a page.
ALTER TABLE events SET (toast_tuple_target = 4080);
ALTER TABLE replies SET (toast_tuple_target = 4080);
