-- A policy that leaves the number out means as many as the target.
UPDATE deployments SET policy = json_set(policy, '$.strategy.BlueGreen.max_replacements', target_replicas)
WHERE json_type(policy, '$.strategy.BlueGreen') IS NOT NULL
  AND json_type(policy, '$.strategy.BlueGreen.max_replacements') IS NULL;

UPDATE events SET snapshot = json_set(
    snapshot, '$.policy.strategy.BlueGreen.max_replacements', json_extract(snapshot, '$.target_replicas'))
WHERE json_type(snapshot, '$.policy.strategy.BlueGreen') IS NOT NULL
  AND json_type(snapshot, '$.policy.strategy.BlueGreen.max_replacements') IS NULL;

UPDATE replies SET reply = json_set(
    reply, '$.deployment.policy.strategy.BlueGreen.max_replacements',
    json_extract(reply, '$.deployment.target_replicas'))
WHERE json_type(reply, '$.deployment.policy.strategy.BlueGreen') IS NOT NULL
  AND json_type(reply, '$.deployment.policy.strategy.BlueGreen.max_replacements') IS NULL;
