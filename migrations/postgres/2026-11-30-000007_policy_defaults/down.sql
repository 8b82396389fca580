-- A policy that leaves the number out means as many as the target.
UPDATE deployments SET policy = jsonb_set(
    policy::jsonb, '{strategy,BlueGreen,max_replacements}', to_jsonb(target_replicas))::text
WHERE policy::jsonb #> '{strategy,BlueGreen}' IS NOT NULL
  AND policy::jsonb #> '{strategy,BlueGreen,max_replacements}' IS NULL;

UPDATE events SET snapshot = jsonb_set(
    snapshot::jsonb, '{policy,strategy,BlueGreen,max_replacements}', snapshot::jsonb -> 'target_replicas')::text
WHERE snapshot::jsonb #> '{policy,strategy,BlueGreen}' IS NOT NULL
  AND snapshot::jsonb #> '{policy,strategy,BlueGreen,max_replacements}' IS NULL;

UPDATE replies SET reply = jsonb_set(
    reply::jsonb, '{deployment,policy,strategy,BlueGreen,max_replacements}',
    reply::jsonb #> '{deployment,target_replicas}')::text
WHERE reply::jsonb #> '{deployment,policy,strategy,BlueGreen}' IS NOT NULL
  AND reply::jsonb #> '{deployment,policy,strategy,BlueGreen,max_replacements}' IS NULL;
