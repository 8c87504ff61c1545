-- The triggers that don't record what they should: table, trigger, and what is wrong with it. Reads the catalogs only;
-- takes no parameters. Expected are rows of a recorded table, a trigger, its function, when it fires, and whether
-- partitions have it, too.
SELECT tables.name AS table_name, expected.trigger,
       CASE WHEN found.oid IS NULL THEN 'is missing'
            WHEN found.tgfoid IS DISTINCT FROM called.oid THEN 'calls another function'
            ELSE 'is switched off' END AS problem
FROM (VALUES {expected}) AS expected (whole, trigger, function, fires, on_partitions)
CROSS JOIN LATERAL (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
    FROM (
        SELECT to_regclass('public.' || expected.whole)::oid AS oid
        UNION
        SELECT relid::oid FROM pg_partition_tree(to_regclass('public.' || expected.whole))
        WHERE expected.on_partitions
    ) AS recorded
    JOIN pg_catalog.pg_class AS c ON c.oid = recorded.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
) AS tables
LEFT JOIN pg_catalog.pg_trigger AS found ON found.tgrelid = tables.oid AND found.tgname = expected.trigger
LEFT JOIN pg_catalog.pg_proc AS called
    ON called.pronamespace = to_regnamespace('tutorwatch') AND called.proname = expected.function
WHERE found.oid IS NULL OR found.tgenabled <> expected.fires OR found.tgfoid IS DISTINCT FROM called.oid
ORDER BY 1, 2
