-- What a promotion does to the database, as plain statements: the stage has made
-- the table `numbered` of the deployments and their two sides.
\set n random(1, :deployments)
BEGIN;
SELECT d.id AS id FROM deployments AS d JOIN numbered USING (id) WHERE n = :n FOR UPDATE OF d \gset
SELECT * FROM routes WHERE deployment_id = CAST(:id AS uuid) AND status NOT IN ('TERMINATED', 'FAILED_TO_START');
UPDATE routes SET traffic_status = 'ACTIVE', traffic_ratio = 1.0, retained_at = NULL
    WHERE id = ANY (ARRAY(SELECT unnest(green) FROM numbered WHERE n = :n));
UPDATE routes SET status = 'TERMINATING', status_updated_at = now(), traffic_status = 'INACTIVE', traffic_ratio = 0.0,
    drained_at = now() WHERE id = ANY (ARRAY(SELECT unnest(blue) FROM numbered WHERE n = :n));
INSERT INTO assignments SELECT unnest(blue), 'g', 'STOP', now() FROM numbered WHERE n = :n
    ON CONFLICT (route_id) DO UPDATE SET action = 'STOP', available_at = now();
UPDATE deployments SET lifecycle = 'READY', sub_step = NULL, rollout = NULL, previous_revision_id = current_revision_id,
    current_revision_id = COALESCE(deploying_revision_id, current_revision_id), deploying_revision_id = NULL,
    generation = generation + 1, sequence = sequence + 1, epoch = epoch + 1, last_history = last_history + 1,
    due_at = NULL, updated_at = now(), promoted_at = now(), status = status, endpoints = endpoints
    WHERE id = CAST(:id AS uuid) RETURNING sequence AS sequence, last_history AS number \gset
INSERT INTO history SELECT id, :number, 'PROMOTE', 'SUCCESS', 'DEPLOYING', 'AWAITING_PROMOTION', 'READY', NULL, NULL,
    'by hand', 'a bench', gen_random_uuid(), status, 1, now(), now() FROM numbered WHERE n = :n;
INSERT INTO events (deployment_id, sequence, kind, snapshot, created_at)
    SELECT id, :sequence, 'PROMOTED', snapshot, now() FROM numbered WHERE n = :n;
INSERT INTO replies (request_id, method, fingerprint, reply, created_at, project)
    SELECT gen_random_uuid(), 'Promote', sha256('by hand'), snapshot, now(), 'p' FROM numbered WHERE n = :n;
COMMIT;
