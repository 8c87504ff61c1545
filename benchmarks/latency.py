"""How soon after a session's commit its alert is there for others to see, through a real listener.

Sessions are written at an even pace, each the second no-show of a tutor who has had one, so that it opens exactly one
alert: while nothing else happens, while many sessions are imported, and while a very large tutor changes each second.
Baseline: a bare notification from one connection to another, sent half-way between two sessions.

A trigger of the benchmark's on `alerts` notifies a third connection. PostgreSQL delivers a notification when its
transaction is visible: whoever receives it can read the alert. It errs on the slow side, by the trigger.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from typing import Any, LiteralString

import psycopg

from benchmarks.databases import filled_database
from benchmarks.dataset import Size, settle
from benchmarks.harness import Goal, Report, Result, Samples, against, compared, interleaved, measured, say
from benchmarks.services import listener, wait_until_drained
from scripts.errors import CommandError

MEDIAN_GOAL = Goal("Half of the alerts are visible within 4 times a bare notification", most=4)
P99_GOAL = Goal("99 of 100 alerts are visible within 10 times a bare notification", most=10)
IMPORT_GOAL = Goal("Beside an import, 95 of 100 alerts take at most 5 times as long as without", most=5)
LARGE_GOAL = Goal("Beside a changing very large tutor, 95 of 100 alerts take at most 1.1 times as long", most=1.1)

VERY_LARGE = "bench-tutor-1"
ARRIVAL_SECONDS = 30.0
"""An alert that isn't there so long after the last session counts as missing."""


@dataclass(frozen=True)
class Sizes:
    """Sessions a second, sessions of a block, rounds; sessions that each tutor has, that an import brings, and that
    the very large tutor has.
    """

    rate: float = 50
    block: int = 400
    rounds: int = 3
    history: int = 60
    imported: int = 200_000
    very_large: int = 20_000


QUICK = Sizes(block=40, rounds=1, history=30, imported=10_000, very_large=300)


_Situation = Callable[[psycopg.AsyncConnection, "Sizes"], Awaitable[None]]
_Block = tuple[list[float], list[float]]
"""Milliseconds from a COMMIT being sent to the arrival of its alert, and of bare notifications."""


def measure(server_url: str, *, quick: bool) -> Report:
    """Every situation in each round, beside a listener that has evaluated every tutor before."""
    sizes = QUICK if quick else Sizes()
    needed = len(_SITUATIONS) * (sizes.rounds + 1) * sizes.block
    blocks: dict[str, list[_Block]] = {name: [] for name in _SITUATIONS}
    with filled_database(server_url, "latency", Size(round(1.4 * needed) + 10, sizes.history)) as url:
        tutors = _prepare(url, sizes, needed)
        say("Starting a listener, which evaluates every tutor first")
        with listener(url):

            def write(name: str) -> float:
                settle(url)
                block = asyncio.run(_write_block(url, islice(tutors, sizes.block), sizes, _SITUATIONS[name]))
                wait_until_drained(url)
                blocks[name].append(block)
                return Samples(block[0]).percentile(95)

            say(f"Writing up to {needed:,} sessions, beside nothing, an import, and a changing very large tutor")
            p95 = interleaved({name: partial(write, name) for name in _SITUATIONS}, rounds=sizes.rounds)
        opened = _count_alerts(url)
    written = sum(len(alerts) for situation in blocks.values() for alerts, _ in situation)
    quiet, to = p95["quiet"], "quiet"
    results = [
        *_quiet_results(blocks["quiet"][1:]),
        compared("import_p95", "beside an import, p95", "ms", p95["import"], quiet, to=to, goal=IMPORT_GOAL),
        compared("large_p95", "beside a very large tutor, p95", "ms", p95["large"], quiet, to=to, goal=LARGE_GOAL),
        Result(name="sessions", what="sessions, the warm-up's included", value=written),
        Result(name="alerts", what="… alerts", value=opened),
    ]
    return Report("latency", asdict(sizes), results, _NOTES)


_NOTES = (
    "times begin when the client sends COMMIT: they hold its own flush to disk, which a bare notification hasn't",
    "an alert is seen through a trigger of the benchmark's that notifies on insert: its cost is included",
    "an import is one INSERT of so many sessions; it lasts until its tutors are evaluated",
)


def _quiet_results(quiet: list[_Block]) -> list[Result]:
    """Ratios of medians, because a session and the notification after it are no pair."""
    alerts, bare = (Samples([ms for block in quiet for ms in block[kind]]) for kind in (0, 1))
    half, p99 = bare.median, bare.percentile(99)
    what, to = "commit sent -> alert visible", "bare NOTIFY, p50"
    return [
        against("alert_p50", f"{what}, p50", "ms", alerts.median, half, to=to, goal=MEDIAN_GOAL),
        against("alert_p95", "… p95", "ms", alerts.percentile(95), half, to=to),
        against("alert_p99", "… p99", "ms", alerts.percentile(99), half, to=to, goal=P99_GOAL),
        measured("notify_p50", "bare NOTIFY, commit sent -> received, p50", "ms", bare),
        against("notify_p99", "… p99", "ms", p99, half, to=to),
    ]


# Writing


async def _write_block(url: str, tutors: Iterator[str], sizes: Sizes, situation: _Situation) -> _Block:
    """A session for each tutor, and a bare notification after each, until the situation ends.

    Raises CommandError for an alert that doesn't come.
    """
    async with AsyncExitStack() as stack:
        client, notifier, beside = [await stack.enter_async_context(await _connect(url)) for _ in range(3)]
        alerts, bare = [
            await stack.enter_async_context(_receiving(url, name)) for name in ("bench_alerts", "bench_bare")
        ]
        doing = await stack.enter_async_context(_doing(situation(beside, sizes)))
        start = time.perf_counter()
        for number, tutor in enumerate(tutors):
            await asyncio.sleep(start + number / sizes.rate - time.perf_counter())
            alerts.sent[tutor] = await _commit(client, _NO_SHOW, tutor)
            await asyncio.sleep(start + (number + 0.5) / sizes.rate - time.perf_counter())
            bare.sent[tutor] = await _commit(notifier, "SELECT pg_notify('bench_bare', %s)", tutor)
            if doing.done():
                doing.result()
                break
        return await alerts.milliseconds(), await bare.milliseconds()


async def _connect(url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


async def _commit(connection: psycopg.AsyncConnection, statement: LiteralString, tutor: str) -> float:
    """When COMMIT was sent, in seconds of the process's clock."""
    await connection.execute("BEGIN")
    await connection.execute(statement, [tutor], prepare=True)
    sent = time.perf_counter()
    await connection.execute("COMMIT")
    return sent


@asynccontextmanager
async def _doing(work: Awaitable[None]) -> AsyncIterator["asyncio.Future[None]"]:
    """Does it beside the block, and ends it at the latest after that."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@dataclass
class _Arrivals:
    """When each tutor's notification was sent, and when it arrived."""

    sent: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def milliseconds(self) -> list[float]:
        """How long each took, once all have arrived. Raises CommandError if one doesn't."""
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                while self.sent.keys() - self.arrived.keys():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError as error:
            missing = len(self.sent.keys() - self.arrived.keys())
            raise CommandError(f"Of {len(self.sent)} commits {missing} had no consequence in time") from error
        return [1000 * (self.arrived[tutor] - at) for tutor, at in self.sent.items()]


@asynccontextmanager
async def _receiving(url: str, channel: LiteralString) -> AsyncIterator[_Arrivals]:
    """Notes the arrival of every notification on the channel while the block runs."""
    arrivals = _Arrivals()
    async with await _connect(url) as connection:
        await connection.execute("LISTEN " + channel)

        async def receive() -> None:
            async for notification in connection.notifies():
                arrivals.arrived[notification.payload] = time.perf_counter()
                arrivals.changed.set()

        async with _doing(receive()):
            yield arrivals


# Situations


async def _nothing(_connection: psycopg.AsyncConnection, _sizes: Sizes) -> None:
    await asyncio.Event().wait()


async def _import(connection: psycopg.AsyncConnection, sizes: Sizes) -> None:
    """Inserts sessions like those of tutors who have no part in what is measured; ends when they are evaluated."""
    await connection.execute(_IMPORT, {"sessions": sizes.imported})
    await asyncio.to_thread(wait_until_drained, connection.info.dsn)


async def _change_very_large(connection: psycopg.AsyncConnection, _sizes: Sizes) -> None:
    while True:
        await connection.execute(_CHANGE, [VERY_LARGE])
        await asyncio.sleep(1)


_SITUATIONS: dict[str, _Situation] = {
    "quiet": _nothing,
    "import": _import,
    "large": _change_very_large,
}


def _prepare(url: str, sizes: Sizes, needed: int) -> Iterator[str]:
    """Makes the very large tutor and the trigger on alerts; returns the tutors to whom one no-show makes an alert."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.bench_tutors AS " + _WITH_ONE_NO_SHOW)
        given = connection.execute(_MAKE_VERY_LARGE, {"tutor": VERY_LARGE, "sessions": sizes.very_large}).rowcount
        connection.execute(_ANNOUNCE)
        found: list[Any] = connection.execute("SELECT tutor_id FROM public.bench_tutors").fetchall()
    if len(found) < needed or given < sizes.very_large:
        raise CommandError(
            f"{len(found)} tutors of {needed}, {given} sessions of {sizes.very_large} for a very large one"
        )
    return iter([tutor for (tutor,) in found])


def _count_alerts(url: str) -> int:
    """How many alerts the sessions have opened."""
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM public.alerts JOIN public.bench_tutors USING (tutor_id)"
            " WHERE alert_type = 'no_show_pattern'"
        ).fetchall()
    return int(count[0])


# Recent enough to stay in the window of 30 days for as long as anyone measures.
_WITH_ONE_NO_SHOW: LiteralString = """
    SELECT tutor_id FROM public.sessions WHERE status = 'no_show_tutor' AND tutor_id <> 'bench-tutor-1'
    GROUP BY tutor_id HAVING count(*) = 1 AND min(scheduled_start) > timezone('utc', now()) - interval '29 days'
"""
_NO_SHOW: LiteralString = """
    INSERT INTO public.sessions (tutor_id, student_id, scheduled_start, scheduled_duration, subject_id, session_number,
                                 status, tutor_showed_up, created_at)
    VALUES (%s, 'bench-student-1', timezone('utc', now()) - interval '10 minutes', 60, md5('bench-subject-1')::uuid,
            2, 'no_show_tutor', false, timezone('utc', now()))
"""
_ANNOUNCE: LiteralString = """
    CREATE FUNCTION public.bench_announce() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('bench_alerts', NEW.tutor_id);
        RETURN NULL;
    END $$;
    CREATE TRIGGER bench_announce AFTER INSERT ON public.alerts FOR EACH ROW
    WHEN (NEW.alert_type = 'no_show_pattern') EXECUTE FUNCTION public.bench_announce()
"""
_IMPORT: LiteralString = """
    INSERT INTO public.sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).*
    FROM public.sessions AS s CROSS JOIN generate_series(1, %(sessions)s::int)
    WHERE tutor_id NOT IN (SELECT tutor_id FROM public.bench_tutors) LIMIT %(sessions)s::int
"""
_CHANGE: LiteralString = """
    UPDATE public.sessions SET overall_session_score = 15 - coalesce(overall_session_score, 7)
    WHERE id = (SELECT id FROM public.sessions WHERE tutor_id = %s AND status = 'completed' LIMIT 1)
"""
# Completed sessions of the last 30 days that were others', with their metrics.
_MAKE_VERY_LARGE: LiteralString = """
    UPDATE public.sessions SET tutor_id = %(tutor)s WHERE id IN (
        SELECT id FROM public.sessions
        WHERE status = 'completed' AND scheduled_start > timezone('utc', now()) - interval '29 days'
          AND tutor_id NOT IN (SELECT tutor_id FROM public.bench_tutors)
        LIMIT %(sessions)s)
"""
