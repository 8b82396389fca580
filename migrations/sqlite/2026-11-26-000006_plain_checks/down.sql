PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (lifecycle = ''PENDING'' OR lifecycle = ''READY'' OR lifecycle = ''DEPLOYING'' OR lifecycle = ''DESTROYING'' OR lifecycle = ''DESTROYED'')',
    'CHECK (lifecycle IN (''PENDING'', ''READY'', ''DEPLOYING'', ''DESTROYING'', ''DESTROYED''))')
WHERE type = 'table' AND name = 'deployments';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (sub_step = ''PROVISIONING'' OR sub_step = ''AWAITING_PROMOTION'' OR sub_step = ''ROLLING_BACK'')',
    'CHECK (sub_step IN (''PROVISIONING'', ''AWAITING_PROMOTION'', ''ROLLING_BACK''))')
WHERE type = 'table' AND name = 'deployments';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (status = ''PROVISIONING'' OR status = ''RUNNING'' OR status = ''TERMINATING'' OR status = ''TERMINATED'' OR status = ''FAILED_TO_START'')',
    'CHECK (status IN (''PROVISIONING'', ''RUNNING'', ''TERMINATING'', ''TERMINATED'', ''FAILED_TO_START''))')
WHERE type = 'table' AND name = 'routes';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (health = ''NOT_CHECKED'' OR health = ''HEALTHY'' OR health = ''UNHEALTHY'' OR health = ''DEGRADED'')',
    'CHECK (health IN (''NOT_CHECKED'', ''HEALTHY'', ''UNHEALTHY'', ''DEGRADED''))')
WHERE type = 'table' AND name = 'routes';

UPDATE sqlite_schema SET sql = replace(sql,
    'CHECK (result = ''SUCCESS'' OR result = ''WAITING'' OR result = ''ROLLED_BACK'')',
    'CHECK (result IN (''SUCCESS'', ''WAITING'', ''ROLLED_BACK''))')
WHERE type = 'table' AND name = 'history';

PRAGMA writable_schema = RESET;
