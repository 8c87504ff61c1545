"""Parts of a round of generation, each measured alone: the way to the database, and the statistics."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from rules.database import open_engine
from rules.settings import Thresholds
from rules.statistics import load_statistics
from scripts import environment
from scripts.bench.samples import Samples

STATEMENTS_OF_A_ROUND = 7
"""Between BEGIN and COMMIT, where a tutor's first alert is opened: the claim, locks, statistics, sessions behind alerts,
samples of insights, alerts opened, insights."""
ROUNDS = 200
WARM_UP_ROUNDS = 20

_KEPT_PLANS = {"plan_cache_mode": "force_generic_plan"}

_NOTHING = text("SELECT 1")
_Round = Callable[[AsyncConnection], Awaitable[object]]


async def empty_rounds(url: str) -> Samples:
    """Milliseconds of transactions with as many statements that ask for nothing: the round trips, and the program's
    way to them.
    """
    return await _timed(url, [partial(_ask_nothing, STATEMENTS_OF_A_ROUND)] * (WARM_UP_ROUNDS + ROUNDS))


async def reading_rounds(url: str, tutors: Sequence[str]) -> Samples:
    """Milliseconds of the same transactions where one statement reads the statistics of a tutor, by a plan that is
    kept as in a generation.
    """
    limits = environment.read(Thresholds)

    async def read(tutor_id: str, conn: AsyncConnection) -> None:
        await load_statistics(conn, [tutor_id], datetime.now(UTC), limits)
        await _ask_nothing(STATEMENTS_OF_A_ROUND - 1, conn)

    return await _timed(url, [partial(read, tutor) for tutor in islice(cycle(tutors), WARM_UP_ROUNDS + ROUNDS)])


async def _ask_nothing(times: int, conn: AsyncConnection) -> None:
    for _ in range(times):
        (await conn.execute(_NOTHING)).all()


async def _timed(url: str, rounds: Sequence[_Round]) -> Samples:
    engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=1, settings=_KEPT_PLANS)
    times = []
    try:
        for round_ in rounds:
            started = time.perf_counter()
            async with engine.begin() as conn:
                await round_(conn)
            times.append(1000 * (time.perf_counter() - started))
    finally:
        await engine.dispose()
    return Samples(times[WARM_UP_ROUNDS:])
