"""The needs of a migration beforehand: rights of the role that migrates, and room on the disk."""

import psycopg

from database.platform_needs import NEEDED
from migrations.manifest import INDEXES, triggers

_OF_THE_DATABASE = """
    SELECT format('%I', current_user), format('%I', current_database()),
           has_database_privilege(current_database(), 'CREATE'),
           has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'),
           to_regnamespace('tutorwatch') IS NOT NULL,
           (SELECT nspowner::regrole::text FROM pg_namespace
            WHERE nspname = 'tutorwatch' AND NOT pg_has_role(nspowner, 'USAGE'))
"""

_OF_OTHERS = """
    SELECT c.oid::regclass::text, format('%%I', role.rolname)
    FROM pg_class AS c JOIN pg_roles AS role ON role.oid = c.relowner
    WHERE c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE')
      AND (c.relnamespace = to_regnamespace('public') AND c.relname = ANY(%s)
           OR c.relnamespace = to_regnamespace('tutorwatch'))
    ORDER BY c.oid::regclass::text
"""


def find_missing_rights(connection: psycopg.Connection) -> list[str]:
    """Return the rights that a migration needs and our role lacks, with the statement that helps. Catalogs only."""
    with connection.transaction():
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")  # then regclass names each schema
        ((role, database, may_create_schemas, may_create_in_public, is_installed, schema_owner),) = connection.execute(
            _OF_THE_DATABASE
        )
        others = connection.execute(_OF_OTHERS, [_tables()]).fetchall()
    missing = []
    if not is_installed and not may_create_schemas:
        missing.append(f"{role} may not create a schema: GRANT CREATE ON DATABASE {database} TO {role}")
    if not may_create_in_public:
        missing.append(f"{role} may not create indexes in schema public: GRANT CREATE ON SCHEMA public TO {role}")
    if schema_owner:
        missing.append(f"schema tutorwatch belongs to {schema_owner}: GRANT {schema_owner} TO {role}")
    return missing + [
        f"{table} belongs to {owner}, so {role} may not alter it: GRANT {owner} TO {role},"
        f" or ALTER TABLE {table} OWNER TO {role}"
        for table, owner in others
    ]


def _tables() -> list[str]:
    """The platform's tables that get indexes or triggers."""
    tables = {*(index.table for index in INDEXES.values()), *(trigger.table for trigger in triggers())}
    return sorted(table.removeprefix("public.") for table in tables if table.startswith("public."))


ENTRY_BYTES = 16
"""What an entry of an index takes beside its columns."""
FILLED = 0.9
"""How full a new index's pages are."""
_SIZES = """
    SELECT c.relname, (
        SELECT coalesce(sum(CASE WHEN part.reltuples < 0 THEN pg_relation_size(part.oid) / 120  -- never analyzed
                                 ELSE part.reltuples END), 0)
        FROM pg_class AS part
        WHERE part.oid = c.oid OR part.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
    )::float8, (
        SELECT json_object_agg(a.attname, coalesce(s.avg_width, nullif(greatest(a.attlen, 0), 0), 24))
        FROM pg_attribute AS a
        LEFT JOIN pg_stats AS s ON s.schemaname = 'public' AND s.tablename = c.relname AND s.attname = a.attname
                               AND NOT s.inherited
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )
    FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p') AND c.relname = ANY(%s)
"""


def estimate_index_bytes(connection: psycopg.Connection) -> int:
    """About how much disk the indexes take that are still to be built."""
    standing = {
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('public') AND relkind IN ('i', 'I')"
        )
    }
    sizes = {name: (rows, widths) for name, rows, widths in connection.execute(_SIZES, [list(NEEDED)])}
    total = 0.0
    for index in (index for name, index in INDEXES.items() if name not in standing):
        rows, widths = sizes.get(index.table.removeprefix("public."), (0.0, {}))
        columns = {*(key.removesuffix(" DESC") for key in index.keys), *index.include}
        total += rows * (ENTRY_BYTES + sum(widths.get(column, 0) for column in columns)) / FILLED
    return round(total)
