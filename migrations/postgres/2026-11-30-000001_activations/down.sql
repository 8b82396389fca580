-- The time of an activation is that of its first route, as far as that is known.
ALTER TABLE deployments ADD COLUMN current_since timestamptz;
UPDATE deployments SET current_since = COALESCE(
    (SELECT MIN(r.created_at) FROM routes AS r
     WHERE r.deployment_id = deployments.id AND r.activation = deployments.current_activation
       AND r.revision_id = deployments.current_revision_id),
    promoted_at, created_at);
ALTER TABLE deployments ALTER COLUMN current_since SET NOT NULL;

UPDATE events SET snapshot = (
    jsonb_build_object('current_since', snapshot::jsonb -> 'created_at') || snapshot::jsonb)::text;

UPDATE replies SET reply = jsonb_set(
    reply::jsonb, '{deployment}',
    jsonb_build_object('current_since', reply::jsonb #> '{deployment,created_at}') || (reply::jsonb -> 'deployment'))::text
WHERE reply::jsonb -> 'deployment' IS NOT NULL;

ALTER TABLE routes DROP COLUMN activation;
ALTER TABLE deployments DROP COLUMN current_activation, DROP COLUMN last_activation;
