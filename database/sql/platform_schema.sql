-- The platform's tables as they are: one row of one JSON value, for `database.platform.compare`. Takes no parameters, so
-- that any kind of connection can run it.
WITH RECURSIVE found AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relname, c.relkind
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relname IN ({names}) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tutorwatch') AND n.nspname !~ '^pg_'
), based AS (  -- a domain is as good as what it is based on
    SELECT oid AS of, oid AS type, typbasetype, typtypmod FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT based.of, t.oid, t.typbasetype, coalesce(nullif(based.typtypmod, -1), t.typtypmod)
    FROM based JOIN pg_catalog.pg_type AS t ON t.oid = based.typbasetype
), columns AS (
    SELECT a.attrelid, pg_catalog.json_build_object(
        'name', a.attname, 'type', t.typname, 'is_enum', t.typtype = 'e',
        'shown', pg_catalog.format_type(a.atttypid, a.atttypmod),
        'characters', CASE WHEN t.typname IN ('varchar', 'bpchar')
                           THEN nullif(coalesce(nullif(a.atttypmod, -1), based.typtypmod, -1), -1) - 4 END,
        'needs_value', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND own.typdefault IS NULL,
        'not_null', a.attnotnull OR own.typnotnull,
        'is_readable', pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
        'labels', CASE WHEN t.typtype = 'e' THEN
            (SELECT pg_catalog.json_agg(enumlabel) FROM pg_catalog.pg_enum WHERE enumtypid = t.oid) END
    ) AS facts
    FROM found JOIN pg_catalog.pg_attribute AS a ON a.attrelid = found.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type AS own ON own.oid = a.atttypid
    LEFT JOIN based ON based.of = own.oid AND based.typbasetype = 0
    JOIN pg_catalog.pg_type AS t ON t.oid = coalesce(based.type, own.oid)
)
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
    'schema', nspname, 'name', relname, 'kind', relkind,
    'columns', (SELECT pg_catalog.json_agg(facts) FROM columns WHERE attrelid = found.oid),
    'children', (SELECT pg_catalog.json_agg(child.relname ORDER BY child.relname)
                 FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class AS child ON child.oid = inhrelid
                 WHERE inhparent = found.oid AND NOT child.relispartition)
)), '[]')
FROM found
