-- An earlier program knows none of them.
UPDATE history SET phase = 'EVALUATE' WHERE phase IN ('ROUTE_FAILED', 'ROUTE_REPLACED');
UPDATE history SET result = 'WAITING' WHERE result = 'FAILED';

ALTER TABLE history DROP CONSTRAINT history_result_check;
ALTER TABLE history ADD CONSTRAINT history_result_check
    CHECK (result IN ('SUCCESS', 'WAITING', 'ROLLED_BACK'));

ALTER TABLE history DROP COLUMN failure;
ALTER TABLE history DROP COLUMN route_count;
ALTER TABLE history DROP COLUMN routes_drained;
ALTER TABLE history DROP COLUMN routes_promoted;
ALTER TABLE history DROP COLUMN routes_created;

ALTER TABLE deployments DROP COLUMN open_entries;
ALTER TABLE deployments DROP COLUMN backing_off;
ALTER TABLE deployments DROP COLUMN availability;
