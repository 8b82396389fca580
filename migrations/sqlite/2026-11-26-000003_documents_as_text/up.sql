-- Nothing: here they are text from the first.
SELECT 1;
