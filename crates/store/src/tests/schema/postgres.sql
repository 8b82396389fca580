SELECT COALESCE(json_agg(json_build_object(
    'name', t.relname,
    'columns', (
        SELECT json_agg(json_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, NULL),
            'nullable', NOT a.attnotnull,
            'generated', a.attidentity <> ''
        ))
        FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    'keys', (
        SELECT COALESCE(json_agg(json_build_object(
            'primary', k.contype = 'p',
            'columns', (
                SELECT json_agg(a.attname ORDER BY n.place)
                FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, place)
                JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.attnum
            )
        )), '[]')
        FROM pg_constraint AS k
        WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u')
    ),
    'foreign', (
        SELECT COALESCE(json_agg(json_build_object(
            'columns', (
                SELECT json_agg(a.attname ORDER BY n.place)
                FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, place)
                JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.attnum
            ),
            'table', (SELECT relname FROM pg_class WHERE oid = k.confrelid),
            'targets', (
                SELECT json_agg(a.attname ORDER BY n.place)
                FROM unnest(k.confkey) WITH ORDINALITY AS n (attnum, place)
                JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = n.attnum
            ),
            'deferred', k.condeferred
        )), '[]')
        FROM pg_constraint AS k
        WHERE k.conrelid = t.oid AND k.contype = 'f'
    ),
    'indices', (
        SELECT COALESCE(json_agg(json_build_object(
            'name', c.relname,
            'unique', i.indisunique,
            'columns', (
                SELECT json_agg(
                    pg_get_indexdef(i.indexrelid, n, TRUE)
                    || CASE WHEN i.indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END
                    ORDER BY n
                )
                FROM generate_series(1, i.indnkeyatts) AS n
            ),
            'predicate', pg_get_expr(i.indpred, i.indrelid)
        )), '[]')
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = t.oid
            AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u'))
    ),
    'checks', (
        SELECT COALESCE(json_agg(pg_get_expr(k.conbin, k.conrelid)), '[]')
        FROM pg_constraint AS k
        WHERE k.conrelid = t.oid AND k.contype = 'c'
    )
)), '[]')::text AS value
FROM pg_class AS t
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND t.relname <> '__diesel_schema_migrations'
