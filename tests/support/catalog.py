"""A database's catalog as lines of text: two databases with the same lines have the same schema."""

import psycopg

_LINES = r"""
WITH spaces AS (
    SELECT oid, nspname AS space, nspowner, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relations AS (
    SELECT c.*, space || '.' || relname AS name FROM pg_class AS c JOIN spaces AS s ON s.oid = c.relnamespace
)
SELECT format('schema %s owned by %s, rights %s', space, nspowner::regrole, nspacl) FROM spaces
UNION ALL
SELECT format('relation %s: kind %s, persistence %s, owned by %s, options %s, rights %s, row security %s',
              name, relkind, relpersistence, relowner::regrole, reloptions, relacl, relrowsecurity)
FROM relations
UNION ALL
SELECT format('column %s.%s: number %s, %s, not null %s, default %s, identity %s, generated %s',
              name, attname, row_number() OVER (PARTITION BY r.oid ORDER BY attnum),
              format_type(atttypid, atttypmod), attnotnull,
              pg_get_expr(adbin, adrelid), attidentity, attgenerated)
FROM relations AS r
JOIN pg_attribute AS a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
UNION ALL
SELECT format('index %s: valid %s, ready %s', pg_get_indexdef(indexrelid), indisvalid, indisready)
FROM relations AS r JOIN pg_index AS i ON i.indexrelid = r.oid
UNION ALL
SELECT format('constraint %s of %s: %s, validated %s', conname, name, pg_get_constraintdef(k.oid), convalidated)
FROM relations AS r JOIN pg_constraint AS k ON k.conrelid = r.oid
UNION ALL
SELECT format('trigger %s, enabled %s', pg_get_triggerdef(t.oid), tgenabled)
FROM relations AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT tgisinternal
UNION ALL
SELECT format('function owned by %s, rights %s: %s', proowner::regrole, proacl, pg_get_functiondef(p.oid))
FROM spaces AS s JOIN pg_proc AS p ON p.pronamespace = s.oid
UNION ALL
SELECT format('enum %s.%s: %s', space, typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder))
FROM spaces AS s JOIN pg_type AS t ON t.typnamespace = s.oid JOIN pg_enum AS e ON e.enumtypid = t.oid
GROUP BY space, typname
UNION ALL
SELECT format('sequence %s.%s: start %s, step %s, cycle %s',
              schemaname, sequencename, start_value, increment_by, cycle)
FROM pg_sequences
ORDER BY 1
"""


def snapshot(database_url: str) -> list[str]:
    """Everything in the database's schemas but rows, a sorted line each."""
    with psycopg.connect(database_url) as connection:
        return [line for (line,) in connection.execute(_LINES.encode())]


def count_rows(database_url: str) -> dict[str, int]:
    """How many rows each of the platform's tables holds."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                                    " AND relkind = 'r' ORDER BY 1").fetchall()  # fmt: skip
        return {
            table: connection.execute(f"SELECT count(*) FROM public.{table}".encode()).fetchall()[0][0]
            for (table,) in tables
        }
