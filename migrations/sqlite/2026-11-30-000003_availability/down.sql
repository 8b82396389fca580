-- An earlier program knows none of them.
UPDATE history SET phase = 'EVALUATE' WHERE phase IN ('ROUTE_FAILED', 'ROUTE_REPLACED');
UPDATE history SET result = 'WAITING' WHERE result = 'FAILED';

PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'' OR result = ''FAILED'')',
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'')')
WHERE type = 'table' AND name = 'history';

PRAGMA writable_schema = RESET;

ALTER TABLE history DROP COLUMN failure;
ALTER TABLE history DROP COLUMN route_count;
ALTER TABLE history DROP COLUMN routes_drained;
ALTER TABLE history DROP COLUMN routes_promoted;
ALTER TABLE history DROP COLUMN routes_created;

ALTER TABLE deployments DROP COLUMN open_entries;
ALTER TABLE deployments DROP COLUMN backing_off;
ALTER TABLE deployments DROP COLUMN availability;
