-- What was left out is put back: a document is laid over one that has all of it.
CREATE FUNCTION pg_temp.laid_over(whole jsonb, given jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(whole) <> 'object' OR jsonb_typeof(given) <> 'object' THEN
        RETURN given;
    END IF;
    RETURN whole || (
        SELECT COALESCE(jsonb_object_agg(key, COALESCE(pg_temp.laid_over(whole -> key, value), value)), '{}')
        FROM jsonb_each(given));
END
$$;

CREATE FUNCTION pg_temp.whole_metadata(given jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"domain":"","resource_group":"","created_user":"","session_owner":""}'::jsonb || given
$$;

CREATE FUNCTION pg_temp.whole_status(given jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.laid_over(
        '{"blue":{"provisioning":0,"unhealthy":0,"failed":0,"retained":0},
          "green":{"provisioning":0,"unhealthy":0,"failed":0,"retained":0},"blockers":[]}', given)
$$;

CREATE FUNCTION pg_temp.whole_policy(given jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT CASE WHEN given #> '{strategy,BlueGreen}' IS NULL THEN given ELSE pg_temp.laid_over(
        '{"strategy":{"BlueGreen":{"promote_delay":{"secs":0,"nanos":0},"min_ready":{"secs":0,"nanos":0},
          "scale_down_delay":{"secs":0,"nanos":0}}}}', given) END
$$;

CREATE FUNCTION pg_temp.whole_deployment(given jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"labels":{}}'::jsonb || given || jsonb_build_object(
        'metadata', pg_temp.whole_metadata(given -> 'metadata'),
        'status', pg_temp.whole_status(given -> 'status'),
        'policy', pg_temp.whole_policy(given -> 'policy'))
$$;

UPDATE deployments SET
    metadata = pg_temp.whole_metadata(metadata::jsonb)::text,
    status = pg_temp.whole_status(status::jsonb)::text,
    policy = pg_temp.whole_policy(policy::jsonb)::text;

UPDATE history SET status = pg_temp.whole_status(status::jsonb)::text;

UPDATE events SET snapshot = pg_temp.whole_deployment(snapshot::jsonb)::text;

UPDATE replies SET reply = jsonb_set(
    reply::jsonb, '{deployment}', pg_temp.whole_deployment(reply::jsonb -> 'deployment'))::text;

DROP FUNCTION pg_temp.whole_deployment, pg_temp.whole_policy, pg_temp.whole_status, pg_temp.whole_metadata,
    pg_temp.laid_over;
