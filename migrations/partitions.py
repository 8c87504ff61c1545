"""Tables that the platform has partitioned: what of ours has to be on each partition.

A statement fires the triggers of the table it names: one that writes straight to a partition doesn't fire the whole
table's. And an index of a partitioned table can't be built concurrently in one go.
"""

from dataclasses import dataclass

import psycopg

_PARTITIONS = """
    WITH named AS (
        SELECT c.oid, format('%I.%I', nspname, relname) AS name, quote_ident(nspname) AS schema
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    )
    SELECT root.relname, part.name, part.schema, parent.name, tree.isleaf
    FROM pg_class AS root
    CROSS JOIN pg_partition_tree(root.oid) AS tree
    JOIN named AS part ON part.oid = tree.relid
    JOIN named AS parent ON parent.oid = tree.parentrelid
    WHERE root.relnamespace = to_regnamespace('public') AND root.relkind = 'p'
    ORDER BY root.relname, tree.level, part.name
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition, of whatever level, of one of schema public's tables."""

    of: str
    """The partitioned table's name, without its schema."""
    name: str
    """Its own, as SQL has it: with its schema, and quoted where it must be."""
    schema: str
    parent: str
    """What it is attached to, as SQL has it: the table itself, or a partition that is partitioned again."""
    is_leaf: bool
    """Whether it holds rows."""


def find_partitions(connection: psycopg.Connection) -> tuple[Partition, ...]:
    """All partitions of the tables in schema public, parents first. Reads the catalogs only."""
    return tuple(Partition(*row) for row in connection.execute(_PARTITIONS))
