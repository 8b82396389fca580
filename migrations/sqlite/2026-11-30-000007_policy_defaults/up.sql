-- Nothing: from here on a policy may leave out how many failed routes are replaced, which
-- programs from before this do not understand. Those that are there keep what they say.
SELECT 1;
