"""Indexes on the platform's tables, built and dropped without stopping a single write.

An index that was interrupted half-way stays behind as invalid: it is dropped and built again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from migrations.manifest import Index
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
        """The step as a script for psql."""
        if self.is_concurrent:
            return "\n".join(["SET lock_timeout = 0;", *self.statements])
        return "\n".join(["BEGIN;", "SET LOCAL lock_timeout = '500ms';", *self.statements, "COMMIT;"])


def build(index: Index, partitions: Iterable[Partition]) -> Iterator[Step]:
    """The steps that build one of our indexes anew, also where one of that name is broken."""
    theirs = [each for each in partitions if f"public.{each.of}" == index.table]
    if theirs:
        yield Step((f"DROP INDEX IF EXISTS public.{index.name};",), index.table)
        yield from _by_partition(index, theirs)
    else:
        yield Step((f"DROP INDEX CONCURRENTLY IF EXISTS public.{index.name};", index.sql()), is_concurrent=True)


def drop(name: str, table: str, *, has_parts: bool) -> Step:
    """The step that drops an index of ours, both with their schemas. One with parts goes with them."""
    concurrently = "" if has_parts else "CONCURRENTLY "
    return Step((f"DROP INDEX {concurrently}IF EXISTS {name};",), table, is_concurrent=not has_parts, is_removal=True)


def _by_partition(index: Index, partitions: Iterable[Partition]) -> Iterator[Step]:
    """The steps for a partitioned table: first its index without parts, of which every partition that clients add from
    then on gets its part; then each partition's part, concurrently. The index becomes valid with the last one.
    """
    whole_of = {index.table: f"public.{index.name}"}
    yield Step((index.sql_without_parts(),), index.table)
    for partition in partitions:
        part_name = f"{index.name}_{_digest(partition.name)}"
        part, whole = f"{partition.schema}.{part_name}", whole_of[partition.parent]
        whole_of[partition.name] = part
        if partition.is_leaf:
            building = index.sql(name=part_name, table=partition.name)
            yield Step((f"DROP INDEX CONCURRENTLY IF EXISTS {part};", building), is_concurrent=True)
        else:
            yield Step((index.sql_without_parts(name=part_name, table=partition.name),), partition.name)
        yield Step((f"ALTER INDEX {whole} ATTACH PARTITION {part};",), partition.name)


def _digest(name: str) -> str:
    """The part of an index's name that tells a partition's from another's, short enough for any name."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]
