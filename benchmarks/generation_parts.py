"""The two parts of a generation of many tutors that no program could do without, each measured alone: the statistics,
read as a generation reads them, and the results, written from where they lie ready.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.changes import remove_results
from rules.generation import FEW_TUTORS
from rules.sessions import parameters
from rules.settings import Thresholds
from rules.statistics import statistics_query

_RESULTS = (("public", "alerts"), ("tutorwatch", "alert_evidence"), ("public", "tutor_insights"))
"""Their tables: what is referred to comes first."""
# As `rules.generation` has it: by kept plans for few tutors, by plans made for them for more.
_PLANS = text("SELECT set_config('plan_cache_mode', :plans, true)")


async def read_statistics(
    engine: AsyncEngine, tutors: Sequence[str], limits: Thresholds, *, batch_size: int, connections: int = 1
) -> None:
    """The one big read of generation, for all these tutors, a transaction for each batch; rows fetched, not used.

    With several connections each reads its share of the batches, at the same time.
    """
    plans = "force_generic_plan" if min(batch_size, len(tutors)) <= FEW_TUTORS else "force_custom_plan"
    batches = [tutors[start : start + batch_size] for start in range(0, len(tutors), batch_size)]

    async def read(share: Sequence[Sequence[str]]) -> None:
        for batch in share:
            async with engine.begin() as conn:
                await conn.execute(_PLANS, {"plans": plans})
                values = parameters(sorted(batch), datetime.now(UTC), limits)
                (await conn.execute(statistics_query(), values)).all()

    await asyncio.gather(*(read(batches[first::connections]) for first in range(connections)))


class ReadyResults:
    """All alerts, insights and evidence as they are when one is created, to be written again."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        for schema, table in _RESULTS:
            connection.execute(_KEEP.format(ready=_ready(table), table=sql.Identifier(schema, table)))

    def write(self) -> float:
        """Removes all results; then the seconds to write these, in a statement for each table and one transaction.

        Our own triggers on the tables do what they do.
        """
        remove_results(self._connection)
        started = time.perf_counter()
        with self._connection.transaction():
            self._connection.execute("SET LOCAL synchronous_commit = off")  # as a generation's
            for schema, table in _RESULTS:
                self._connection.execute(_WRITE.format(ready=_ready(table), table=sql.Identifier(schema, table)))
        return time.perf_counter() - started


_KEEP = sql.SQL("CREATE TABLE {ready} AS SELECT * FROM {table}")
_WRITE = sql.SQL("INSERT INTO {table} SELECT * FROM {ready}")


def _ready(table: str) -> sql.Identifier:
    return sql.Identifier("public", f"bench_ready_{table}")
