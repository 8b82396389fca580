-- Nothing: here a list costs nothing.
SELECT 1;
