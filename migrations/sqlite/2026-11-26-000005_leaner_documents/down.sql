-- What was left out is put back: a document is laid over one that has all of it.
CREATE TEMP TABLE whole AS
SELECT '{"domain":"","resource_group":"","created_user":"","session_owner":""}' AS metadata,
       '{"blue":{"provisioning":0,"unhealthy":0,"failed":0,"retained":0},'
           || '"green":{"provisioning":0,"unhealthy":0,"failed":0,"retained":0},"blockers":[]}' AS status,
       '{"strategy":{"BlueGreen":{"promote_delay":{"secs":0,"nanos":0},"min_ready":{"secs":0,"nanos":0},'
           || '"scale_down_delay":{"secs":0,"nanos":0}}}}' AS blue_green;

-- A deployment in an event or a reply, without the policy, which may be of another strategy.
CREATE TEMP TABLE whole_deployment AS
SELECT json_object('labels', json('{}'), 'metadata', json(metadata), 'status', json(status)) AS deployment,
       json_object('labels', json('{}'), 'metadata', json(metadata), 'status', json(status),
                   'policy', json(blue_green)) AS of_blue_green
FROM whole;

UPDATE deployments SET
    metadata = json_patch((SELECT metadata FROM temp.whole), metadata),
    status = json_patch((SELECT status FROM temp.whole), status),
    policy = CASE WHEN json_type(policy, '$.strategy.BlueGreen') IS NULL THEN policy
                  ELSE json_patch((SELECT blue_green FROM temp.whole), policy) END;

UPDATE history SET status = json_patch((SELECT status FROM temp.whole), status);

UPDATE events SET snapshot = json_patch(
    CASE WHEN json_type(snapshot, '$.policy.strategy.BlueGreen') IS NULL
         THEN (SELECT deployment FROM temp.whole_deployment)
         ELSE (SELECT of_blue_green FROM temp.whole_deployment) END,
    snapshot);

UPDATE replies SET reply = json_patch(
    json_object('deployment', json(
        CASE WHEN json_type(reply, '$.deployment.policy.strategy.BlueGreen') IS NULL
             THEN (SELECT deployment FROM temp.whole_deployment)
             ELSE (SELECT of_blue_green FROM temp.whole_deployment) END)),
    reply);

DROP TABLE temp.whole_deployment;
DROP TABLE temp.whole;
