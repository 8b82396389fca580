SELECT json_group_array(json_object(
    'name', t.name,
    'text', t.sql,
    'columns', json((
        SELECT json_group_array(json_object(
            'name', name,
            'type', type,
            'nullable', json(CASE WHEN "notnull" = 0 AND NOT (pk = 1 AND type = 'INTEGER') THEN 'true' ELSE 'false' END),
            'generated', json(CASE WHEN pk = 1 AND t.sql LIKE '% AUTOINCREMENT%' THEN 'true' ELSE 'false' END),
            'key', pk
        ))
        FROM pragma_table_info(t.name)
    )),
    'foreign', json((
        SELECT json_group_array(json_object('id', id, 'column', "from", 'table', "table", 'target', "to"))
        FROM (SELECT * FROM pragma_foreign_key_list(t.name) ORDER BY id, seq)
    )),
    'indices', json((
        SELECT json_group_array(json_object(
            'name', l.name,
            'unique', json(CASE WHEN l."unique" THEN 'true' ELSE 'false' END),
            'origin', l.origin,
            'text', (SELECT sql FROM sqlite_schema WHERE name = l.name),
            'columns', json((
                SELECT json_group_array(name || CASE WHEN "desc" THEN ' DESC' ELSE '' END)
                FROM (SELECT * FROM pragma_index_xinfo(l.name) WHERE key ORDER BY seqno)
            ))
        ))
        FROM pragma_index_list(t.name) AS l
    ))
)) AS value
FROM sqlite_schema AS t
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name <> '__diesel_schema_migrations'
