"""The check before an adoption: a database is the platform's, as `database.platform` needs it, or empty."""

import psycopg

from database.platform import read_comparison, read_hidden_rows

OLDEST_SERVER = 15
"""PostgreSQL's major version with which all of this is tested; older ones lack what the triggers use."""

# Tables, views and enums, those of extensions aside.
_CONTENTS = """
    SELECT 1 FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 1 FROM pg_type AS t
    WHERE t.typnamespace = 'public'::regnamespace AND t.typtype = 'e'
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = t.oid AND d.deptype = 'e')
"""
_SERVER = "SELECT to_regnamespace('public') IS NOT NULL, current_user::text"


def is_empty(connection: psycopg.Connection) -> bool:
    """Return whether no schema has the platform's tables, and public no table or enum, those of extensions aside."""
    return connection.execute(_CONTENTS).fetchone() is None and not read_comparison(connection).sessions_elsewhere


def find_problems(connection: psycopg.Connection) -> list[str]:
    """Return what keeps `migrate` from adopting this database, a line each; empty if nothing does.

    Reads the catalogs only. An empty database has no problems: it gets everything.
    """
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        return [f"PostgreSQL {version} is too old: {OLDEST_SERVER} or later is needed"]
    comparison = read_comparison(connection)
    if comparison.sessions_elsewhere and any(each.table == "sessions" for each in comparison.differences):
        schemas = ", ".join(comparison.sessions_elsewhere)
        return [f"the platform's tables are in schema {schemas} (it has sessions), not in public: move them there"]
    ((has_public, role),) = connection.execute(_SERVER)
    if not has_public:
        return ["schema public is missing: CREATE SCHEMA public"]
    if is_empty(connection):
        return []
    return [*map(str, comparison.differences), *map(str, read_hidden_rows(connection, role))]
