DROP TABLE replies;
DROP TABLE events;
DROP TABLE history;
DROP TABLE assignments;
DROP TABLE routes;
DROP TABLE revisions;
DROP TABLE deployments;
