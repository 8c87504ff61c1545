"""Indexes on the platform's tables, built and dropped without stopping a single write.

An index that was interrupted half-way stays behind as invalid: it is dropped and built again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from migrations.manifest import index_sql, index_table
from migrations.partitions import Partition


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong together: in a short transaction, or one by one where an index is built or
    dropped concurrently."""

    statements: tuple[str, ...]
    table: str = ""
    """Whose lock a short transaction needs, with its schema."""
    is_concurrent: bool = False
    is_removal: bool = False
    """Whether it only removes what is left over."""

    def as_script(self) -> str:
        """The same for psql."""
        if self.is_concurrent:
            return "\n".join(["SET lock_timeout = 0;", *self.statements])
        return "\n".join(["BEGIN;", "SET LOCAL lock_timeout = '500ms';", *self.statements, "COMMIT;"])


def build(name: str, partitions: Iterable[Partition]) -> Iterator[Step]:
    """The steps that build one of our indexes anew, also where one of that name is broken."""
    table = index_table(name)
    theirs = [replace(each, indexes=frozenset()) for each in partitions if f"public.{each.of}" == table]
    if theirs:
        yield Step((f"DROP INDEX IF EXISTS public.{name};",), table)
        yield from _by_partition(name, theirs)
    else:
        yield Step((f"DROP INDEX CONCURRENTLY IF EXISTS public.{name};", index_sql(name)), is_concurrent=True)


def drop(name: str, table: str, *, has_parts: bool) -> Step:
    """The step that drops an index of ours, both with their schemas. One with parts goes with them, in a moment."""
    concurrently = "" if has_parts else "CONCURRENTLY "
    return Step((f"DROP INDEX {concurrently}IF EXISTS {name};",), table, is_concurrent=not has_parts, is_removal=True)


def _by_partition(name: str, partitions: Iterable[Partition]) -> Iterator[Step]:
    """First an index of the table that has no part yet, and which every partition that clients add meanwhile gets its
    part of; then each partition's, concurrently; the whole becomes valid with the last.
    """
    root, statement = index_table(name), index_sql(name)
    whole_of = {root: f"public.{name}"}
    yield Step((_of_its_own(statement),), root)
    for partition in partitions:
        part_name = f"{name}_{_digest(partition.name)}"
        part, whole = f"{partition.schema}.{part_name}", whole_of[partition.parent]
        whole_of[partition.name] = part
        building = statement.replace(f"{name} ON {root} ", f"{part_name} ON {partition.name} ")
        if partition.is_leaf:
            yield Step((f"DROP INDEX CONCURRENTLY IF EXISTS {part};", building), is_concurrent=True)
        else:
            yield Step((_of_its_own(building),), partition.name)
        yield Step((f"ALTER INDEX {whole} ATTACH PARTITION {part};",), partition.name)


def _of_its_own(statement: str) -> str:
    """The same index on the table alone, without its partitions."""
    return statement.replace("INDEX CONCURRENTLY ", "INDEX ").replace(" ON ", " ON ONLY ", 1)


def _digest(name: str) -> str:
    """Keeps the names of a partition's indexes short enough, and apart."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]
