-- The time of an activation is that of its first route, as far as that is known.
ALTER TABLE deployments ADD COLUMN current_since TEXT NOT NULL DEFAULT '1970-01-01T00:00:00.000000Z';
UPDATE deployments SET current_since = COALESCE(
    (SELECT MIN(r.created_at) FROM routes AS r
     WHERE r.deployment_id = deployments.id AND r.activation = deployments.current_activation
       AND r.revision_id = deployments.current_revision_id),
    promoted_at, created_at);

UPDATE events SET snapshot = json_set(snapshot, '$.current_since', json_extract(snapshot, '$.created_at'))
WHERE json_type(snapshot, '$.current_since') IS NULL;

UPDATE replies SET reply = json_set(
    reply, '$.deployment.current_since', json_extract(reply, '$.deployment.created_at'))
WHERE json_type(reply, '$.deployment') IS NOT NULL AND json_type(reply, '$.deployment.current_since') IS NULL;

ALTER TABLE routes DROP COLUMN activation;
ALTER TABLE deployments DROP COLUMN current_activation;
ALTER TABLE deployments DROP COLUMN last_activation;
