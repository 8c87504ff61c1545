"""How long a backfill of many tutors takes, by `tutorwatch backfill`'s own code; nothing was generated before.

Baselines: a plain join (the least that any program must do to have two averages per tutor), and a loop with a
transaction for each tutor, over a sample, scaled up.
"""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

import psycopg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.drain import PLAIN_JOIN
from benchmarks.harness import Goal, Report, Result, compared, interleaved, measured, say, timed
from benchmarks.services import remove_results
from database.connections import open_engine
from rules.generation import generate
from rules.settings import RuleSettings
from scripts import backfill, environment

JOIN_GOAL = Goal("A backfill takes at most 2.5 times as long as a plain join", most=2.5)
LOOP_GOAL = Goal("A backfill takes at most a quarter of a loop over the tutors", most=0.25)


@dataclass(frozen=True)
class Sizes:
    """How many tutors, sessions of each, rounds, tutors a batch, and tutors of the loop that is scaled up."""

    tutors: int = 1000
    sessions: int = 200
    rounds: int = 5
    batch_size: int = 200
    sample: int = 100


QUICK = Sizes(tutors=200, sessions=60, rounds=2, sample=20)


def measure(server_url: str, *, quick: bool) -> Report:
    """Every measurement in each round, after one to warm up."""
    sizes, limits = QUICK if quick else Sizes(), environment.read(RuleSettings).thresholds()
    sent, summaries = list[int](), list[backfill.Summary]()

    async def backfill_all(engine: AsyncEngine) -> None:
        statements: list[None] = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: statements.append(None))
        options = backfill.Options(batch_size=sizes.batch_size)
        summaries.append(await backfill.backfill(engine, limits, options, out=io.StringIO()))
        sent.append(len(statements))

    with (
        filled_database(server_url, "backfill", Size(sizes.tutors, sizes.sessions)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):

        def anew(work: Callable[[AsyncEngine], Awaitable[None]]) -> float:
            remove_results(connection)
            return asyncio.run(_seconds(url, work))

        say(f"Backfilling {sizes.rounds + 1} times, interleaved with its baselines")
        found = interleaved(
            {
                "join": lambda: timed(lambda: connection.execute(PLAIN_JOIN).fetchall()),
                "backfill": lambda: anew(backfill_all),
                "loop": lambda: anew(partial(_loop, sizes.sample)) * sizes.tutors / sizes.sample,
            },
            rounds=sizes.rounds,
        )
    whole, join, looped, created = found["backfill"], found["join"], found["loop"], summaries[-1]
    what = f"backfill of {sizes.tutors:,} tutors"
    results = [
        compared("backfill_seconds", what, "s", whole, join, to="plain join", goal=JOIN_GOAL),
        compared("backfill_to_loop", "… the same", "s", whole, looped, to="tutor by tutor", goal=LOOP_GOAL),
        measured("plain_join_seconds", "plain join: a count and two averages", "s", join),
        measured("loop_seconds", "tutor by tutor, scaled up", "s", looped),
        Result(name="tutors", what="tutors of a backfill", value=created.tutors),
        Result(name="statements", what="… statements sent", value=sent[-1]),
        Result(name="alerts", what="… alerts opened", value=created.alerts),
        Result(name="insights", what="… insights opened", value=created.insights),
    ]
    return Report("backfill", asdict(sizes), results, ["everything is removed before each backfill and each loop"])


async def _loop(tutors: int, engine: AsyncEngine) -> None:
    for number in range(tutors):
        async with engine.begin() as conn:
            await generate(
                conn, [f"bench-tutor-{1 + number}"], datetime.now(UTC), environment.read(RuleSettings).thresholds()
            )


async def _seconds(url: str, work: Callable[[AsyncEngine], Awaitable[None]]) -> float:
    engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=backfill.AT_ONCE)
    started = time.perf_counter()
    try:
        await work(engine)
        return time.perf_counter() - started
    finally:
        await engine.dispose()
