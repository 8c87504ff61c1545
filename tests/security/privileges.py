"""Everything that a role may do with the tables, sequences and functions of a database, in words."""

from typing import Any

import psycopg

_KINDS = "('r', 'p', 'v', 'm', 'f', 'S')"
_RELATIONS = f"""
    SELECT n.nspname || '.' || c.relname,
           (SELECT array_agg(act ORDER BY place)
            FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                 WITH ORDINALITY AS acts (act, place)
            WHERE c.relkind <> 'S' AND has_table_privilege(%(role)s, c.oid, act)
               OR c.relkind = 'S' AND act IN ('SELECT', 'UPDATE') AND has_sequence_privilege(%(role)s, c.oid, act)),
           (SELECT array_agg(act || ' (' || columns || ')' ORDER BY place)
            FROM (
                SELECT act, place, string_agg(attname, ', ' ORDER BY attname) AS columns
                FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) WITH ORDINALITY AS acts (act, place),
                     pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'S'
                  AND NOT has_table_privilege(%(role)s, c.oid, act)
                  AND has_column_privilege(%(role)s, c.oid, a.attnum, act)
                GROUP BY act, place
            ) AS by_column)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'tutorwatch') AND c.relkind IN {_KINDS}
    ORDER BY 1
"""
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'tutorwatch'
      AND (%(role)s::text IS NULL OR has_function_privilege(%(role)s::text, p.oid, 'EXECUTE'))
    ORDER BY 1
"""


def of_relations(connection: psycopg.Connection[Any], role: str) -> dict[str, str]:
    """What the role may do with each relation of the schemas public and tutorwatch; "" with which nothing."""
    rows = connection.execute(_RELATIONS.encode(), {"role": role})
    return {name: ", ".join([*(acts or []), *(by_column or [])]) for name, acts, by_column in rows}


def of_functions(connection: psycopg.Connection[Any], role: str | None) -> list[str]:
    """The functions of schema tutorwatch that the role may call; None: all there are."""
    return [name for (name,) in connection.execute(_FUNCTIONS.encode(), {"role": role})]
