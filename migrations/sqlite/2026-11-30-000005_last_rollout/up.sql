-- How the last rollout of a deployment came out, and the numbers of the revisions that it
-- names: for people, who know a revision by its number.
ALTER TABLE deployments ADD COLUMN last_rollout TEXT;
ALTER TABLE deployments ADD COLUMN current_revision_number INTEGER;
ALTER TABLE deployments ADD COLUMN deploying_revision_number INTEGER;

UPDATE deployments SET
    current_revision_number =
        (SELECT v.number FROM revisions AS v WHERE v.id = deployments.current_revision_id),
    deploying_revision_number =
        (SELECT v.number FROM revisions AS v WHERE v.id = deployments.deploying_revision_id);
