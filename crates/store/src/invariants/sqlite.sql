-- What must always hold, as queries that find where it does not: each row is a
-- violation, by the id of its deployment and in words.
--
-- Each is a paragraph: a blank line, a line with the number of its invariant and
-- what ought to hold, and the query, which ends with a semicolon. One with the
-- parameter ?1, in seconds, is about time and asked for only while a server
-- runs. postgres.sql has the same queries for PostgreSQL.
--
-- One snapshot cannot show all of an invariant. What it shows of I1, I6 and I9
-- goes back as far as events and history are kept; what it shows of I8 and I12
-- is what a call that stopped half-way, or was forgotten, would have left behind.

-- I1: whoever has a ready route of the current revision serves with a ready one
SELECT d.id AS deployment, 'has ready routes, and none of them is ACTIVE' AS what
FROM deployments AS d
WHERE d.lifecycle IN ('READY', 'DEPLOYING')
  AND EXISTS (
    SELECT 1 FROM routes AS r
    WHERE r.deployment_id = d.id AND r.revision_id = d.current_revision_id
      AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '' AND r.retained_at IS NULL)
  AND NOT EXISTS (
    SELECT 1 FROM routes AS r
    WHERE r.deployment_id = d.id AND r.traffic_status = 'ACTIVE'
      AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '');

-- I1: at a promotion as many routes of the new revision are ready and ACTIVE as its policy asks for
SELECT e.deployment_id AS deployment,
       'was promoted at sequence ' || e.sequence || ' with ' || json_extract(e.snapshot, '$.status.blue.ready')
           || ' ready and ' || json_extract(e.snapshot, '$.status.blue.active_traffic') || ' ACTIVE of '
           || json_extract(e.snapshot, '$.target_replicas') AS what
FROM (
    SELECT p.*, p.snapshot ->> '$.target_replicas' AS target,
           COALESCE(p.snapshot ->> '$.policy.strategy.BlueGreen.ready_threshold.Count',
                    p.snapshot ->> '$.policy.strategy.Canary.switch.ready_threshold.Count') AS threshold_count,
           COALESCE(p.snapshot ->> '$.policy.strategy.BlueGreen.ready_threshold.Percent',
                    p.snapshot ->> '$.policy.strategy.Canary.switch.ready_threshold.Percent') AS threshold_percent
    FROM events AS p
    WHERE p.kind = 'PROMOTED') AS e
WHERE json_extract(e.snapshot, '$.status.blue.ready') NOT BETWEEN
          COALESCE(MIN(e.threshold_count, e.target), (e.target * e.threshold_percent + 99) / 100, e.target) AND e.target
   OR json_extract(e.snapshot, '$.status.blue.active_traffic') NOT BETWEEN
          json_extract(e.snapshot, '$.status.blue.ready') AND e.target;

-- I1: and history tells the same of each promotion, for as long as it is kept
SELECT h.deployment_id AS deployment,
       'was promoted by move ' || h.number || ' with ' || json_extract(h.status, '$.blue.ready') || ' ready of '
           || json_extract(h.status, '$.blue.active_traffic') || ' ACTIVE' AS what
FROM history AS h
WHERE h.phase = 'PROMOTE'
  AND json_extract(h.status, '$.blue.ready') <> json_extract(h.status, '$.blue.active_traffic')
  -- Fewer may be ready by the policy's threshold: then the entry says that some are not.
  AND (json_extract(h.status, '$.blue.ready') = 0 OR h.status NOT LIKE '%"RoutesNotReady"%');

-- I2: ACTIVE routes are of one revision, but in the course of a rolling update, or while a canary has a share
SELECT d.id AS deployment, 'has ACTIVE routes of ' || COUNT(DISTINCT r.revision_id) || ' revisions' AS what
FROM deployments AS d
JOIN routes AS r ON r.deployment_id = d.id
WHERE r.traffic_status = 'ACTIVE'
  AND NOT (d.lifecycle = 'DEPLOYING' AND (json_type(d.policy, '$.strategy.Rolling') IS NOT NULL OR COALESCE(d.weight_permille, 0) > 0))
GROUP BY d.id
HAVING COUNT(DISTINCT r.revision_id) > 1;

-- I2: a canary has ACTIVE routes of its current and its deploying revision only
SELECT d.id AS deployment, 'is a canary, and has ' || COUNT(*) || ' ACTIVE routes of a third revision' AS what
FROM deployments AS d
JOIN routes AS r ON r.deployment_id = d.id
WHERE d.weight_permille > 0 AND r.traffic_status = 'ACTIVE'
  AND r.revision_id NOT IN (d.current_revision_id, d.deploying_revision_id)
GROUP BY d.id;

-- I3: DEPLOYING, a deploying revision and a sub-step go together
SELECT d.id AS deployment,
       'is ' || d.lifecycle || ' with sub-step ' || COALESCE(d.sub_step, 'none')
           || CASE WHEN d.deploying_revision_id IS NULL THEN ' and no' ELSE ' and a' END
           || ' deploying revision' AS what
FROM deployments AS d
WHERE (d.lifecycle = 'DEPLOYING') <> (d.deploying_revision_id IS NOT NULL)
   OR (d.lifecycle = 'DEPLOYING') <> (d.sub_step IS NOT NULL);

-- I3: only a deployment that was never READY waits for its first revision to come up
SELECT d.id AS deployment, 'is ' || d.lifecycle || ', and waits for a first revision to come up' AS what
FROM deployments AS d
WHERE d.coming_up IS NOT NULL
  AND (d.current_revision_id IS NULL OR d.lifecycle NOT IN ('PENDING', 'DEPLOYING'));

-- I3: DEPLOYING is a later activation than that of the current revision
SELECT d.id AS deployment,
       'is DEPLOYING by activation ' || d.last_activation || ', and its revision is current since activation '
           || d.current_activation AS what
FROM deployments AS d
WHERE d.lifecycle = 'DEPLOYING' AND d.current_activation >= d.last_activation;

-- I3: a restart is of the current revision's latest activation, and a rollout ends it
SELECT d.id AS deployment,
       'is ' || d.lifecycle || ' and restarted by activation ' || d.current_activation || ' of '
           || d.last_activation AS what
FROM deployments AS d
WHERE d.restarted
  AND (d.current_revision_id IS NULL OR d.deploying_revision_id IS NOT NULL
    OR d.current_activation IS DISTINCT FROM d.last_activation);

-- I4: READY has ACTIVE routes of the current revision only
SELECT d.id AS deployment, 'is READY with ' || COUNT(*) || ' ACTIVE routes of another revision' AS what
FROM deployments AS d
JOIN routes AS r ON r.deployment_id = d.id
WHERE d.lifecycle = 'READY' AND r.traffic_status = 'ACTIVE'
  AND r.revision_id IS DISTINCT FROM d.current_revision_id
GROUP BY d.id;

-- I5: ACTIVE goes with a ratio, and with a route that is not ending
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ', ' || r.status || ' and ' || r.traffic_status || ' with ratio '
           || r.traffic_ratio AS what
FROM routes AS r
WHERE (r.traffic_status = 'ACTIVE') <> (r.traffic_ratio > 0)
   OR (r.traffic_status = 'ACTIVE' AND r.status NOT IN ('PROVISIONING', 'RUNNING'));

-- I6: a rollout is promoted once at most
SELECT t.deployment, 'was promoted by move ' || t.number || ' with nothing activated since the last time' AS what
FROM (
    SELECT h.deployment_id AS deployment, h.number, h.phase,
           LAG(h.phase) OVER (PARTITION BY h.deployment_id ORDER BY h.number) AS earlier
    FROM history AS h
    WHERE h.phase IN ('PROMOTE', 'ACTIVATE')
       OR (h.phase = 'ROLL_BACK' AND h.from_lifecycle <> 'DEPLOYING' AND h.to_lifecycle = 'DEPLOYING')) AS t
WHERE t.phase = 'PROMOTE' AND t.earlier = 'PROMOTE';

-- I7: history is numbered without gap from the first move that is kept to the last one
SELECT d.id AS deployment,
       'has ' || COUNT(h.number) || ' moves in history, from ' || COALESCE(MIN(h.number), 0) || ' to '
           || COALESCE(MAX(h.number), 0) || ', and its last one is ' || d.last_history AS what
FROM deployments AS d
LEFT JOIN history AS h ON h.deployment_id = d.id
GROUP BY d.id
HAVING MAX(h.number) IS DISTINCT FROM d.last_history
    OR COUNT(h.number) <> MAX(h.number) - MIN(h.number) + 1;

-- I7: each move begins where the last one ended, and the first one is the creation
SELECT t.deployment, 'came to move ' || t.number || ' from elsewhere than the one before ended' AS what
FROM (
    SELECT h.deployment_id AS deployment, h.number, h.from_lifecycle, h.from_sub_step,
           LAG(h.number) OVER w AS earlier, LAG(h.to_lifecycle) OVER w AS lifecycle,
           LAG(h.to_sub_step) OVER w AS sub_step
    FROM history AS h
    WINDOW w AS (PARTITION BY h.deployment_id ORDER BY h.number)) AS t
WHERE (t.earlier IS NOT NULL
    AND (t.from_lifecycle IS DISTINCT FROM t.lifecycle OR t.from_sub_step IS DISTINCT FROM t.sub_step))
   OR (t.number = 1) <> (t.from_lifecycle IS NULL);

-- I7: the last move ends where the deployment is
SELECT d.id AS deployment,
       'is ' || d.lifecycle || COALESCE(' / ' || d.sub_step, '') || ', and its last move ended at '
           || h.to_lifecycle || COALESCE(' / ' || h.to_sub_step, '') AS what
FROM deployments AS d
JOIN history AS h ON h.deployment_id = d.id AND h.number = d.last_history
WHERE h.to_lifecycle <> d.lifecycle OR h.to_sub_step IS DISTINCT FROM d.sub_step;

-- I8: its newest revision has the number that it remembers
SELECT d.id AS deployment,
       'remembers ' || d.last_revision || ' revisions, and the newest has number '
           || COALESCE(MAX(v.number), 0) AS what
FROM deployments AS d
LEFT JOIN revisions AS v ON v.deployment_id = d.id
GROUP BY d.id
HAVING COALESCE(MAX(v.number), 0) <> d.last_revision;

-- I8: the revisions that it names are its own
SELECT d.id AS deployment, 'names revision ' || lower(hex(v.id)) || ', which is of another deployment' AS what
FROM deployments AS d
JOIN revisions AS v ON v.id IN (d.current_revision_id, d.deploying_revision_id, d.previous_revision_id)
WHERE v.deployment_id <> d.id;

-- I8: the numbers that it gives are those of the revisions that it names
SELECT d.id AS deployment,
       'says ' || COALESCE(CAST(d.current_revision_number AS TEXT), 'nothing') || ' and '
           || COALESCE(CAST(d.deploying_revision_number AS TEXT), 'nothing')
           || ' for the numbers of its current and its deploying revision' AS what
FROM deployments AS d
WHERE d.current_revision_number IS DISTINCT FROM
        (SELECT v.number FROM revisions AS v WHERE v.id = d.current_revision_id)
   OR d.deploying_revision_number IS DISTINCT FROM
        (SELECT v.number FROM revisions AS v WHERE v.id = d.deploying_revision_id);

-- I8: a rollout that has yet to end is one that goes back
SELECT d.id AS deployment, 'is on no way back, and its last rollout has not ended' AS what
FROM deployments AS d
WHERE d.last_rollout IS NOT NULL AND json_extract(d.last_rollout, '$.ended_at') IS NULL
  AND d.sub_step IS DISTINCT FROM 'ROLLING_BACK';

-- I8: the revisions that roll-backs lead to are its own, and the last one is the previous one
SELECT d.id AS deployment, 'has served by ' || d.served || ', which are not all its own, or end otherwise' AS what
FROM deployments AS d
WHERE EXISTS (
    SELECT 1 FROM json_each(d.served) AS s
    WHERE NOT EXISTS (
        SELECT 1 FROM revisions AS v WHERE v.id = unhex(s.value, '-') AND v.deployment_id = d.id))
   OR d.previous_revision_id IS DISTINCT FROM
        (SELECT unhex(s.value, '-') FROM json_each(d.served) AS s ORDER BY s.key DESC LIMIT 1);

-- I8: its routes run revisions of its own
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ' of a revision of another deployment' AS what
FROM routes AS r
JOIN revisions AS v ON v.id = r.revision_id
WHERE v.deployment_id <> r.deployment_id;

-- I8: its routes were created in activations that it has had
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ' of activation ' || r.activation || ', and its last one is '
           || d.last_activation AS what
FROM routes AS r
JOIN deployments AS d ON d.id = r.deployment_id
WHERE r.activation > d.last_activation;

-- I9: events are numbered without gap from the first one that is kept to the present sequence
SELECT d.id AS deployment,
       'is at sequence ' || d.sequence || ', and has ' || COUNT(e.sequence) || ' events from '
           || COALESCE(MIN(e.sequence), 0) || ' to ' || COALESCE(MAX(e.sequence), 0) AS what
FROM deployments AS d
LEFT JOIN events AS e ON e.deployment_id = d.id
GROUP BY d.id
HAVING MAX(e.sequence) IS DISTINCT FROM d.sequence
    OR COUNT(e.sequence) <> MAX(e.sequence) - MIN(e.sequence) + 1;

-- I9: the last event shows the deployment as it is
SELECT d.id AS deployment,
       'has generation ' || d.generation || ' and epoch ' || d.epoch || ', and its last event shows '
           || json_extract(e.snapshot, '$.generation') || ' and ' || json_extract(e.snapshot, '$.epoch') AS what
FROM deployments AS d
JOIN events AS e ON e.deployment_id = d.id AND e.sequence = d.sequence
WHERE json_extract(e.snapshot, '$.sequence') <> d.sequence
   OR json_extract(e.snapshot, '$.generation') <> d.generation
   OR json_extract(e.snapshot, '$.epoch') <> d.epoch;

-- I9: events follow one another in the order of their sequences
SELECT t.deployment, 'has event ' || t.sequence || ' behind a later one' AS what
FROM (
    SELECT e.deployment_id AS deployment, e.sequence,
           LAG(e.sequence) OVER (PARTITION BY e.deployment_id ORDER BY e.position) AS earlier
    FROM events AS e) AS t
WHERE t.earlier > t.sequence;

-- I10: READY, as after a roll-back, leaves no route of another revision but retained ones
SELECT d.id AS deployment, 'is READY with ' || COUNT(*) || ' routes of another revision that are not retained' AS what
FROM deployments AS d
JOIN routes AS r ON r.deployment_id = d.id
WHERE d.lifecycle = 'READY' AND r.status IN ('PROVISIONING', 'RUNNING') AND r.retained_at IS NULL
  AND r.revision_id IS DISTINCT FROM d.current_revision_id
GROUP BY d.id;

-- I11: nothing stays past its deadline
SELECT d.id AS deployment, 'is past its deadline, which was at ' || d.deadline_at AS what
FROM deployments AS d
WHERE d.lifecycle IN ('PENDING', 'DEPLOYING') AND NOT d.paused
  AND d.deadline_at < strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-' || ?1 || ' seconds');

-- I12: what a client was told of a deployment is there
SELECT unhex(json_extract(t.reply, '$.id'), '-') AS deployment,
       t.method || ' told of sequence ' || json_extract(t.reply, '$.sequence') || ' and generation '
           || json_extract(t.reply, '$.generation') || ', and it is '
           || COALESCE('at ' || d.sequence || ' and ' || d.generation, 'gone') AS what
FROM (
    SELECT p.method, json_extract(m.value, '$.deployment') AS reply
    FROM replies AS p
    JOIN json_each(COALESCE(json_extract(p.reply, '$.members'), json_array(json(p.reply)))) AS m
    WHERE p.created_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-23 hours')) AS t
LEFT JOIN deployments AS d ON d.id = unhex(json_extract(t.reply, '$.id'), '-')
WHERE d.id IS NULL OR json_extract(t.reply, '$.sequence') > d.sequence
   OR json_extract(t.reply, '$.generation') > d.generation;

-- I12: what a call with a request id moved has its reply, for as long as those are kept
SELECT h.deployment_id AS deployment,
       'was moved by request ' || lower(hex(h.request_id)) || ', which has no reply' AS what
FROM history AS h
JOIN deployments AS d ON d.id = h.deployment_id
WHERE h.request_id IS NOT NULL AND h.created_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-23 hours')
  AND NOT EXISTS (
      SELECT 1 FROM replies AS p
      WHERE p.request_id = h.request_id AND (p.project = d.project
          OR h.commit_id IS NOT NULL AND unhex(json_extract(p.reply, '$.commit'), '-') = h.commit_id));

-- I13: nothing that is due waits
SELECT d.id AS deployment, 'has been due since ' || d.due_at AS what
FROM deployments AS d
WHERE d.due_at < strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-' || ?1 || ' seconds');

-- I14: the traffic table lists the ACTIVE routes that run and are HEALTHY, or if none is, those that run and have been HEALTHY; in a canary by revision
WITH active AS (
    SELECT r.deployment_id, r.id, r.address, r.once_healthy, r.health = 'HEALTHY' AS healthy,
           CASE WHEN d.weight_permille > 0 THEN NULL ELSE r.traffic_ratio END AS traffic_ratio,
           MAX(r.health = 'HEALTHY') OVER (PARTITION BY r.deployment_id) AS some_healthy,
           d.weight_permille > 0 AND r.revision_id = d.current_revision_id
               AND NOT MAX(r.health = 'HEALTHY') OVER (PARTITION BY r.deployment_id, r.revision_id) AS fails_open
    FROM routes AS r
    JOIN deployments AS d ON d.id = r.deployment_id
    WHERE r.traffic_status = 'ACTIVE' AND r.status = 'RUNNING' AND r.address <> ''),
serving AS (
    SELECT a.deployment_id, a.id, a.address, a.traffic_ratio
    FROM active AS a
    WHERE a.healthy OR (NOT a.some_healthy OR a.fails_open) AND a.once_healthy),
listed AS (
    SELECT d.id AS deployment_id, unhex(json_extract(t.value, '$.route'), '-') AS id,
           json_extract(t.value, '$.address') AS address,
           CASE WHEN d.weight_permille > 0 THEN NULL ELSE json_extract(t.value, '$.ratio') END AS traffic_ratio
    FROM deployments AS d
    JOIN json_each(d.endpoints) AS t)
SELECT s.deployment_id AS deployment,
       'serves by route ' || lower(hex(s.id)) || ', which its table does not list so' AS what
FROM (SELECT * FROM serving EXCEPT SELECT * FROM listed) AS s
UNION ALL
SELECT l.deployment_id, 'lists route ' || lower(hex(l.id)) || ', which does not serve so'
FROM (SELECT * FROM listed EXCEPT SELECT * FROM serving) AS l;

-- I14: a route that is HEALTHY has been HEALTHY in its present session
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ', which is HEALTHY and never was' AS what
FROM routes AS r
WHERE r.health = 'HEALTHY' AND NOT r.once_healthy;

-- I15: what has yet to be started or stopped is assigned, and nothing else is
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ', ' || r.status
           || COALESCE(' with an assignment to ' || a.action, ' without an assignment') AS what
FROM routes AS r
LEFT JOIN assignments AS a ON a.route_id = r.id
WHERE a.action IS DISTINCT FROM CASE
    WHEN r.status = 'PROVISIONING' THEN 'START'
    WHEN r.status = 'TERMINATING' AND r.drained_at IS NOT NULL THEN 'STOP' END;

-- I15: a route that is ending was drained by Viridian or taken away by its scheduler, and not both
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ', ' || r.status || ', which nobody is ending, or both are' AS what
FROM routes AS r
WHERE (r.status = 'TERMINATING' AND r.drained_at IS NULL AND r.evicted_at IS NULL)
   OR (r.evicted_at IS NOT NULL AND (r.drained_at IS NOT NULL OR r.status NOT IN ('TERMINATING', 'TERMINATED')));

-- I15: a route that hung was drained for it, and not because a caller wanted it out
SELECT r.deployment_id AS deployment,
       'has route ' || lower(hex(r.id)) || ', ' || r.status || ', which hung and was not drained, or by request' AS what
FROM routes AS r
WHERE r.hung_at IS NOT NULL AND (r.drained_at IS NULL OR r.drain_requested_at IS NOT NULL);

-- I16: what is recorded is of deployments that are there, and what is assigned of routes that are
SELECT h.deployment_id AS deployment, 'has history ' || h.number || ', and is not there' AS what
FROM history AS h
WHERE NOT EXISTS (SELECT 1 FROM deployments AS d WHERE d.id = h.deployment_id)
UNION ALL
SELECT e.deployment_id, 'has the event of sequence ' || e.sequence || ', and is not there'
FROM events AS e
WHERE NOT EXISTS (SELECT 1 FROM deployments AS d WHERE d.id = e.deployment_id)
UNION ALL
SELECT a.route_id, 'is a route with an assignment to ' || a.action || ', and is not there'
FROM assignments AS a
WHERE NOT EXISTS (SELECT 1 FROM routes AS r WHERE r.id = a.route_id);

-- I17: only a canary has a share, while it is DEPLOYING and from its first step on
SELECT d.id AS deployment,
       'is ' || d.lifecycle || COALESCE(' / ' || d.sub_step, '') || ' at step ' || d.canary_step || ' with '
           || COALESCE('a share of ' || d.weight_permille, 'no share') AS what
FROM deployments AS d
WHERE (d.weight_permille IS NOT NULL) <> (d.canary_step > 0)
   OR (d.weight_permille IS NOT NULL
    AND (d.lifecycle <> 'DEPLOYING' OR d.sub_step = 'ROLLING_BACK' OR NOT json_type(d.policy, '$.strategy.Canary') IS NOT NULL
      OR d.weight_permille NOT BETWEEN 0 AND 999));

-- I17: and so it is with the sub-step of a step that is held
SELECT d.id AS deployment, 'is SHIFTING at no step' AS what
FROM deployments AS d
WHERE d.sub_step = 'SHIFTING' AND d.weight_permille IS NULL;

-- I18: without a share no route of a canary is ACTIVE, and with one no ready route waits
SELECT t.deployment,
       'has a share of ' || t.weight || ' for its new revision, of which ' || t.active || ' routes are ACTIVE and '
           || t.waiting || ' ready ones wait' AS what
FROM (
    SELECT d.id AS deployment, COALESCE(d.weight_permille, 0) AS weight,
           SUM(CASE WHEN r.traffic_status = 'ACTIVE' THEN 1 ELSE 0 END) AS active,
           SUM(CASE WHEN r.traffic_status = 'INACTIVE' AND r.status = 'RUNNING' AND r.health = 'HEALTHY'
                     AND r.address <> '' THEN 1 ELSE 0 END) AS waiting
    FROM deployments AS d
    JOIN routes AS r ON r.deployment_id = d.id AND r.revision_id = d.deploying_revision_id
    WHERE json_type(d.policy, '$.strategy.Canary') IS NOT NULL
    GROUP BY d.id, d.weight_permille) AS t
WHERE (t.weight = 0 AND t.active > 0) OR (t.weight > 0 AND t.waiting > 0);

-- I19: the weights of a table add up to 1,000, and the new revision has at most what it asks for while the old one serves
SELECT w.deployment, 'has weights that add up to ' || w.total || ', of which ' || w.green || ' of '
           || COALESCE(w.asked, 0) || ' go to its new revision' AS what
FROM (
    SELECT d.id AS deployment, d.weight_permille AS asked,
           SUM(s.value ->> 'permille') AS total,
           SUM(CASE WHEN unhex(s.value ->> 'revision', '-') = d.deploying_revision_id
                    THEN s.value ->> 'permille' ELSE 0 END) AS green
    FROM deployments AS d
    JOIN json_each(d.shares, '$.weights') AS s
    GROUP BY d.id) AS w
WHERE w.total <> 1000 OR w.asked IS NULL OR w.asked = 0
   OR (w.green > w.asked AND w.green <> 1000)
   OR (w.green = 1000 AND EXISTS (
        SELECT 1 FROM deployments AS d
        JOIN json_each(d.endpoints) AS t
        JOIN routes AS r ON r.id = unhex(t.value ->> 'route', '-')
        WHERE d.id = w.deployment AND r.revision_id = d.current_revision_id));

-- I19: and the ratios of its endpoints divide the traffic in the same way
WITH listed AS (
    SELECT d.id AS deployment, r.revision_id AS revision, SUM(t.value ->> 'ratio') AS part
    FROM deployments AS d
    JOIN json_each(d.endpoints) AS t
    JOIN routes AS r ON r.id = unhex(t.value ->> 'route', '-')
    WHERE json_type(d.shares, '$.weights') IS NOT NULL
    GROUP BY d.id, r.revision_id),
weighted AS (
    SELECT d.id AS deployment, unhex(s.value ->> 'revision', '-') AS revision, s.value ->> 'permille' AS permille
    FROM deployments AS d
    JOIN json_each(d.shares, '$.weights') AS s)
SELECT w.deployment, 'gives a revision ' || w.permille || ' of 1000 by weight, and another part by ratio' AS what
FROM weighted AS w
LEFT JOIN listed AS l ON l.deployment = w.deployment AND l.revision = w.revision
WHERE ABS(COALESCE(l.part, 0) * 1000 / (SELECT SUM(a.part) FROM listed AS a WHERE a.deployment = w.deployment)
    - w.permille) > 0.001;

-- I26: what a set with a request id changed is in its reply
SELECT h.deployment_id AS deployment,
       'was changed by the set of request ' || lower(hex(h.request_id)) || ', whose reply does not have it' AS what
FROM history AS h
JOIN replies AS p ON p.request_id = h.request_id AND unhex(json_extract(p.reply, '$.commit'), '-') = h.commit_id
WHERE h.commit_id IS NOT NULL
  AND NOT EXISTS (
      SELECT 1 FROM json_each(json_extract(p.reply, '$.members')) AS m
      WHERE unhex(json_extract(m.value, '$.deployment.id'), '-') = h.deployment_id);

-- I26: and it changed every deployment in its reply
SELECT h.deployment_id AS deployment,
       'is in the reply to the set of request ' || lower(hex(p.request_id)) || ', which did not change it' AS what
FROM replies AS p
JOIN json_each(json_extract(p.reply, '$.members')) AS m
JOIN history AS h ON h.deployment_id = unhex(json_extract(m.value, '$.deployment.id'), '-')
  AND h.number = json_extract(m.value, '$.deployment.last_history')
WHERE h.request_id IS NOT p.request_id
   OR h.commit_id IS NOT unhex(json_extract(p.reply, '$.commit'), '-');

-- I30: every route in a traffic table has a valid address
SELECT l.deployment, 'lists ' || l.address || ', which is not HOST:PORT' AS what
FROM (
    SELECT d.id AS deployment, json_extract(t.value, '$.address') AS address,
           rtrim(json_extract(t.value, '$.address'), '0123456789') AS head
    FROM deployments AS d
    JOIN json_each(d.endpoints) AS t) AS l
WHERE length(l.address) - length(l.head) NOT BETWEEN 1 AND 5
   OR substr(l.address, length(l.head) + 1) LIKE '0%'
   OR CAST(substr(l.address, length(l.head) + 1) AS INTEGER) > 65535
   OR NOT (l.head GLOB '[A-Za-z0-9_]*:' AND l.head NOT GLOB '*[^A-Za-z0-9._:-]*' AND l.head NOT GLOB '*:*:'
        OR l.head GLOB '[[]*[]]:' AND trim(l.head, '[]:') NOT GLOB '*[^0-9A-Fa-f:.]*')
   OR l.head IN ('0.0.0.0:', '[::]:');

-- I30: no two RUNNING routes of a deployment have the same address
SELECT r.deployment_id AS deployment, 'has ' || COUNT(*) || ' RUNNING routes at ' || r.address AS what
FROM routes AS r
WHERE r.status = 'RUNNING' AND r.address <> ''
GROUP BY r.deployment_id, r.address
HAVING COUNT(*) > 1;

-- I32: no route took traffic by a health that was older than the health TTL
SELECT e.deployment_id AS deployment,
       'has ' || json_extract(e.snapshot, '$.status.stale_promoted') || ' routes that took traffic at sequence '
           || e.sequence || ' by an old health' AS what
FROM events AS e
WHERE e.kind IN ('PROMOTED', 'ROLLED_BACK') AND json_extract(e.snapshot, '$.status.stale_promoted') > 0;

-- I32: and history tells the same of each promotion, for as long as it is kept
SELECT h.deployment_id AS deployment,
       'has ' || json_extract(h.status, '$.stale_promoted') || ' routes that took traffic by move '
           || h.number || ' by an old health' AS what
FROM history AS h
WHERE h.phase IN ('PROMOTE', 'ROLL_BACK') AND json_extract(h.status, '$.stale_promoted') > 0;

-- I33: a deployment is as available as its ready ACTIVE routes are many
SELECT t.deployment,
       'is ' || COALESCE(t.availability, 'of no availability') || ' with ' || t.ready || ' ready ACTIVE routes of '
           || t.target_replicas AS what
FROM (
    SELECT d.id AS deployment, d.availability, d.target_replicas, d.lifecycle, d.current_revision_id,
           (SELECT COUNT(*) FROM routes AS r
            WHERE r.deployment_id = d.id AND r.traffic_status = 'ACTIVE'
              AND r.status = 'RUNNING' AND r.health = 'HEALTHY' AND r.address <> '') AS ready
    FROM deployments AS d) AS t
WHERE t.availability IS NOT CASE
    WHEN t.lifecycle IN ('DESTROYING', 'DESTROYED') OR t.current_revision_id IS NULL THEN NULL
    WHEN t.target_replicas = 0 THEN 'IDLE'
    WHEN t.ready = 0 THEN 'UNAVAILABLE'
    WHEN t.ready < t.target_replicas THEN 'DEGRADED'
    ELSE 'AVAILABLE' END;

-- I34: what may still be added to in history is there, and of the last step
SELECT d.id AS deployment,
       'may add to entry ' || (e.value ->> 'number') || ' of its history, which is not there' AS what
FROM deployments AS d
JOIN json_each(d.open_entries) AS e
WHERE NOT EXISTS (
    SELECT 1 FROM history AS h
    WHERE h.deployment_id = d.id AND h.number = e.value ->> 'number'
      AND h.attempts = e.value ->> 'attempts');

-- I35: a deployment has the resource group that its metadata names
SELECT d.id AS deployment,
       'is of the group "' || d.resource_group || '" and its metadata of another' AS what
FROM deployments AS d
WHERE d.resource_group <> COALESCE(json_extract(d.metadata, '$.resource_group'), '');

-- I36: what a project uses is counted as it is
SELECT COALESCE(t.deployment, x'00000000000000000000000000000000') AS deployment,
       'is the first of project ' || t.project || ', which uses ' || t.deployments || ' deployments, '
           || t.replicas || ' replicas, ' || t.revisions || ' revisions and ' || t.bytes || ' bytes, counted as '
           || COALESCE(u.deployments, 0) || ', ' || COALESCE(u.replicas, 0) || ', ' || COALESCE(u.revisions, 0)
           || ' and ' || COALESCE(u.bytes, 0) AS what
FROM (
    SELECT p.project, MIN(d.id) AS deployment,
           COALESCE(SUM(CASE WHEN d.lifecycle NOT IN ('DESTROYING', 'DESTROYED') THEN 1 END), 0) AS deployments,
           COALESCE(SUM(CASE WHEN d.lifecycle NOT IN ('DESTROYING', 'DESTROYED') THEN d.target_replicas END), 0)
               AS replicas,
           COALESCE(SUM((SELECT COUNT(*) FROM revisions AS r WHERE r.deployment_id = d.id)), 0) AS revisions,
           COALESCE(SUM(octet_length(d.metadata)
               + (SELECT COALESCE(SUM(octet_length(l.key) + octet_length(l.value)), 0) FROM json_each(CASE json_type(d.labels) WHEN 'object' THEN d.labels ELSE '{}' END) AS l)
               + (SELECT COALESCE(SUM(octet_length(r.spec)), 0) FROM revisions AS r WHERE r.deployment_id = d.id)), 0)
               AS bytes
    FROM (SELECT project FROM project_usage UNION SELECT project FROM deployments) AS p
    LEFT JOIN deployments AS d ON d.project = p.project
    GROUP BY p.project) AS t
LEFT JOIN project_usage AS u ON u.project = t.project
WHERE t.deployments <> COALESCE(u.deployments, 0) OR t.replicas <> COALESCE(u.replicas, 0)
   OR t.revisions <> COALESCE(u.revisions, 0) OR t.bytes <> COALESCE(u.bytes, 0);

-- I37: the index of labels has those of each deployment, and no others
SELECT d.id AS deployment, 'has a label ' || l.key || ' that the index does not have' AS what
FROM deployments AS d
JOIN json_each(CASE json_type(d.labels) WHEN 'object' THEN d.labels ELSE '{}' END) AS l ON NOT EXISTS (
    SELECT 1 FROM deployment_labels AS i WHERE i.deployment_id = d.id AND i.key = l.key AND i.value = l.value);

-- I37: and it has no label that its deployment does not have
SELECT i.deployment_id AS deployment, 'has a label ' || i.key || ' in the index only' AS what
FROM deployment_labels AS i
LEFT JOIN deployments AS d ON d.id = i.deployment_id
WHERE d.id IS NULL
   OR NOT EXISTS (SELECT 1 FROM json_each(CASE json_type(d.labels) WHEN 'object' THEN d.labels ELSE '{}' END) AS l WHERE l.key = i.key AND l.value = i.value);
