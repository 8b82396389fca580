-- Nothing: documents leave out what is zero, empty or none from here on, which
-- programs from before this do not understand. Those that are there are as they were.
SELECT 1;
