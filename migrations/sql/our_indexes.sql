-- Our indexes on the platform's tables: name, table, columns, whether it is plain, whether it is valid, whether it has parts,
-- and its name with its schema. By the catalogs' columns: pg_get_indexdef would wait for whoever has locked the table.
SELECT c.relname, format('%I.%I', tn.nspname, t.relname),
       format('(%s)', columns.keys) || coalesce(' INCLUDE (' || included || ')', ''),
       i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisunique,
       i.indisvalid AND i.indisready, c.relkind = 'I', format('%I.%I', cn.nspname, c.relname)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
CROSS JOIN LATERAL (
    SELECT string_agg(attname || CASE i.indoption[place - 1]
                          WHEN 1 THEN ' DESC NULLS LAST' WHEN 2 THEN ' NULLS FIRST' WHEN 3 THEN ' DESC' ELSE '' END,
                      ', ' ORDER BY place)
               FILTER (WHERE place <= i.indnkeyatts) AS keys,
           string_agg(attname::text, ', ' ORDER BY place) FILTER (WHERE place > i.indnkeyatts) AS included
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
) AS columns
WHERE starts_with(c.relname, 'tutorwatch_') AND NOT c.relispartition AND tn.nspname <> 'tutorwatch'