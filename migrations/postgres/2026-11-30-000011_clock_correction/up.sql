-- By how much the time that decides is ahead of the database's clock, in microseconds with
-- its sign: that clock was set back or forward while a server ran. SQLite's stays 0, since its
-- server measures the time itself.
ALTER TABLE horizon ADD COLUMN clock_correction bigint NOT NULL DEFAULT 0;
