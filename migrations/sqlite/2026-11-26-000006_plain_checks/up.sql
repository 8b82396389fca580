-- To check a row against a list of more than two words, SQLite makes a table of the
-- list, each time anew. So they are compared one by one. Nothing that is kept changes:
-- it is enough to say it in the schema, as is described under "Making Other Kinds Of
-- Table Schema Changes" in SQLite's ALTER TABLE. Nobody else has the file open.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (lifecycle IN (''PENDING'', ''READY'', ''DEPLOYING'', ''DESTROYING'', ''DESTROYED''))',
    'CHECK (lifecycle = ''PENDING'' OR lifecycle = ''READY'' OR lifecycle = ''DEPLOYING'' OR lifecycle = ''DESTROYING'' OR lifecycle = ''DESTROYED'')')
WHERE type = 'table' AND name = 'deployments';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (sub_step IN (''PROVISIONING'', ''AWAITING_PROMOTION'', ''ROLLING_BACK''))',
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')')
WHERE type = 'table' AND name = 'deployments';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status IN (''PROVISIONING'', ''RUNNING'', ''TERMINATING'', ''TERMINATED'', ''FAILED_TO_START''))',
    'CHECK (status = ''PROVISIONING'' OR status = ''RUNNING'' OR status = ''TERMINATING'' OR status = ''TERMINATED'' OR status = ''FAILED_TO_START'')')
WHERE type = 'table' AND name = 'routes';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (health IN (''NOT_CHECKED'', ''HEALTHY'', ''UNHEALTHY'', ''DEGRADED''))',
    'CHECK (health = ''NOT_CHECKED'' OR health = ''HEALTHY'' OR health = ''UNHEALTHY'' OR health = ''DEGRADED'')')
WHERE type = 'table' AND name = 'routes';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (result IN (''SUCCESS'', ''WAITING'', ''ROLLED_BACK''))',
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'')')
WHERE type = 'table' AND name = 'history';

PRAGMA writable_schema = RESET;
