"""Parts of a round of generation, each measured alone: the way to the database, and the statistics.

They come at an even pace, as the rounds do that they are compared with: right after one another they would be faster.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.samples import Samples
from database.connections import open_engine
from listener import outbox
from rules.generation import generate
from rules.settings import Thresholds
from rules.statistics import load_statistics
from scripts import environment

WARM_UP_ROUNDS = 20

_KEPT_PLANS = {"plan_cache_mode": "force_generic_plan"}

_NOTHING = text("SELECT 1")
# What opens an alert for a tutor who has had one no-show.
_SECOND_NO_SHOW = text("""
    UPDATE public.sessions SET status = 'no_show_tutor', scheduled_start = timezone('utc', now()) - interval '1 hour'
    WHERE id = (SELECT id FROM public.sessions WHERE tutor_id = :tutor_id AND status = 'completed' LIMIT 1)
""")
_Round = Callable[[AsyncConnection], Awaitable[object]]


async def count_statements(url: str, tutor: str) -> int:
    """How many statements claim a change of the tutor and open an alert for it, in one transaction; leaves nothing.

    The tutor has had one no-show so far, the triggers are on, and nothing else is in the outbox.
    """
    engine, count = open_engine(url, application_name="tutorwatch-bench", keep_connections=1), 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    try:
        async with engine.connect() as conn:
            await conn.execute(_SECOND_NO_SHOW, {"tutor_id": tutor})
            event.listen(engine.sync_engine, "before_cursor_execute", note)
            claim = await outbox.claim(conn, 1)
            await generate(conn, claim.tutor_ids, claim.now, environment.read(Thresholds))
            await conn.rollback()
    finally:
        await engine.dispose()
    return count


async def empty_rounds(url: str, statements: int, *, rounds: int, rate: float) -> Samples:
    """Milliseconds of transactions with so many statements that ask for nothing: the round trips, and the program's
    way to them.
    """
    return await _timed(url, [partial(_ask_nothing, statements)] * (WARM_UP_ROUNDS + rounds), rate)


async def reading_rounds(url: str, statements: int, tutors: Sequence[str], *, rounds: int, rate: float) -> Samples:
    """Milliseconds of the same transactions where one statement reads the statistics of a tutor, by a plan that is
    kept as in a generation.
    """
    limits = environment.read(Thresholds)

    async def read(tutor_id: str, conn: AsyncConnection) -> None:
        await load_statistics(conn, [tutor_id], datetime.now(UTC), limits)
        await _ask_nothing(statements - 1, conn)

    return await _timed(url, [partial(read, tutor) for tutor in islice(cycle(tutors), WARM_UP_ROUNDS + rounds)], rate)


async def _ask_nothing(times: int, conn: AsyncConnection) -> None:
    for _ in range(times):
        (await conn.execute(_NOTHING)).all()


async def _timed(url: str, rounds: Sequence[_Round], rate: float) -> Samples:
    engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=1, settings=_KEPT_PLANS)
    times = []
    try:
        for number, round_ in enumerate(rounds):
            if number >= WARM_UP_ROUNDS:
                await asyncio.sleep(1 / rate)
            started = time.perf_counter()
            async with engine.begin() as conn:
                await round_(conn)
            times.append(1000 * (time.perf_counter() - started))
    finally:
        await engine.dispose()
    return Samples(times[WARM_UP_ROUNDS:])
