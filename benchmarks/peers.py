"""The same work by two job queues on PostgreSQL, procrastinate and pgqueuer, whose job is our generation.

Changes pile up; one worker process, ours or theirs, up and warm before they are committed, processes them. Changes of
as many tutors show what it costs to take and finish each; changes of few tutors, what is saved by generating once for
many of them. The peers are measured on an evenly drawn part of their jobs, and scaled up: they work job by job. Each is
set up as its own documentation advises for many short jobs.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, LiteralString

import asyncpg
import procrastinate
import psycopg
import uvloop
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from psycopg.conninfo import conninfo_to_dict

from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.harness import Goal, Report, Result, compared, interleaved, measured, say
from benchmarks.services import drain_seconds, environment_for, remove_results, stopping, wait_until_none
from database.connections import open_engine
from rules.generation import generate
from rules.settings import RuleSettings
from scripts import environment
from scripts.errors import CommandError

GOALS = {
    "many": Goal("Changes of as many tutors are processed at least 3 times as fast as by the better queue", least=3),
    "few": Goal("Changes of few tutors are processed at least 30 times as fast as by the better queue", least=30),
}
AT_ONCE = 4
"""Jobs that a worker has under way at once: with more, they wait for two cores and for each other."""
FETCHED = 25
WARM_UP_JOBS = 40
Generate = Callable[[str], Awaitable[None]]
"""The job: brings the tutor's alerts and insights up to date, in a transaction of its own."""


@dataclass(frozen=True)
class Sizes:
    """How many changes; of how many tutors, or of how few; sessions of each tutor; jobs that the peers are measured
    on; and rounds.
    """

    changes: int = 10_000
    tutors: int = 10_000
    few: int = 100
    sessions: int = 200
    sample: int = 400
    rounds: int = 2


QUICK = Sizes(changes=300, tutors=300, few=5, sessions=40, sample=20, rounds=1)


@dataclass(frozen=True)
class Peer:
    """A job queue: how it is installed, how jobs for tutors get in (in one transaction), a worker that processes them
    until it is cancelled, and queries that have a row while a job is unfinished, and once one has failed.
    """

    install: Callable[[str], Coroutine[Any, Any, None]]
    enqueue: Callable[[str, Sequence[str]], Coroutine[Any, Any, None]]
    work: Callable[[str, Generate], Coroutine[Any, Any, None]]
    unfinished: LiteralString
    failed: LiteralString


def measure(server_url: str, *, quick: bool) -> Report:
    """Both kinds of changes, the three interleaved."""
    sizes = QUICK if quick else Sizes()
    with (
        filled_database(server_url, "peers", Size(sizes.tutors, sizes.sessions)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        for peer in PEERS.values():
            asyncio.run(peer.install(url))
        results = _results(url, connection, sizes, "many", sizes.tutors)
        results += _results(url, connection, sizes, "few", sizes.few)
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    notes = (
        f"{versions}; one worker process each, on the same server, {AT_ONCE} jobs at once",
        f"the peers are measured on {sizes.sample} of {sizes.changes} jobs and scaled up",
        "a peer's job for each change: both can refuse a second job for a tutor who has one waiting (queueing_lock,"
        " dedupe_key), which whoever writes has to ask for, waiting for others' locks",
    )
    return Report("peers", asdict(sizes), results, notes)


def _results(url: str, connection: psycopg.Connection, sizes: Sizes, which: str, tutors: int) -> list[Result]:
    say(f"Processing {sizes.changes:,} changes of {tutors:,} tutors, interleaved with the peers")
    changes = [f"bench-tutor-{1 + number % tutors}" for number in range(sizes.changes)]
    jobs = random.Random(7).sample(changes, sizes.sample)

    def theirs(name: str) -> float:
        remove_results(connection)
        return _process(name, url, jobs) * sizes.changes / len(jobs)

    seconds = interleaved(
        {"tutorwatch": lambda: drain_seconds(url, connection, changes=sizes.changes, tutors=tutors)}
        | {name: partial(theirs, name) for name in PEERS},
        rounds=sizes.rounds,
        warm_up=0,  # workers and listeners that are started warm up by themselves
    )
    found = {name: samples.per(sizes.changes) for name, samples in seconds.items()}
    better = max(PEERS, key=lambda name: found[name].median)
    what, unit = f"{sizes.changes:,} changes of {tutors:,} tutors", "changes/s"
    ours = found["tutorwatch"]
    return [
        compared(f"{which}_tutorwatch", what, unit, ours, found[better], to=better, goal=GOALS[which]),
        *(measured(f"{which}_{name}", f"… {name}", unit, found[name]) for name in PEERS),
    ]


def _process(name: str, url: str, tutors: Sequence[str]) -> float:
    """The seconds from the commit of a job for each of these tutors until none is left, by a worker that has done a
    few before. Raises CommandError if one failed.
    """
    peer = PEERS[name]
    # Not as __main__, which procrastinate warns of.
    serve = f"from benchmarks.peers import serve; serve({name!r})"
    with stopping(subprocess.Popen([sys.executable, "-c", serve], env=environment_for(url))):
        for jobs in (["bench-tutor-1"] * WARM_UP_JOBS, tutors):
            asyncio.run(peer.enqueue(url, jobs))
            started = time.perf_counter()
            wait_until_none(url, peer.unfinished, f"{name} didn't process its jobs")
        seconds = time.perf_counter() - started
    with psycopg.connect(url) as connection:
        if connection.execute(peer.failed).fetchone():
            raise CommandError(f"Jobs of {name} failed")
    return seconds


def serve(name: str) -> None:
    """Runs the worker of that name until the process is ended."""
    url, limits = environment.database_url(), environment.read(RuleSettings).thresholds()
    engine = open_engine(url, application_name=f"bench-{name}", keep_connections=AT_ONCE)
    free = asyncio.Semaphore(AT_ONCE)

    async def generate_alone(tutor_id: str) -> None:
        async with free, engine.begin() as conn:
            await generate(conn, [tutor_id], datetime.now(UTC), limits)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(PEERS[name].work(url, generate_alone))


def _procrastinate(url: str) -> procrastinate.App:
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=AT_ONCE + 2, max_size=AT_ONCE + 2)
    return procrastinate.App(connector=connector)


async def _install_procrastinate(url: str) -> None:
    async with _procrastinate(url).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def _enqueue_procrastinate(url: str, tutors: Sequence[str]) -> None:
    async with _procrastinate(url).open_async() as app:
        jobs: Sequence[dict[str, Any]] = [{"tutor_id": tutor} for tutor in tutors]
        await app.configure_task("generate").batch_defer_async(*jobs)


async def _work_procrastinate(url: str, work: Generate) -> None:
    app = _procrastinate(url)

    @app.task(name="generate")
    async def job(tutor_id: str) -> None:
        await work(tutor_id)

    async with app.open_async():
        await app.run_worker_async(concurrency=AT_ONCE, delete_jobs="successful")


@asynccontextmanager
async def _pgqueuer(url: str) -> AsyncIterator[AsyncpgPoolDriver]:
    """By asyncpg, which its documentation calls the fastest of its drivers."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    names = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}
    values: dict[str, Any] = {theirs: parts[ours] for ours, theirs in names.items() if ours in parts}
    async with asyncpg.create_pool(**values, min_size=AT_ONCE + 2, max_size=AT_ONCE + 2) as pool:
        yield AsyncpgPoolDriver(pool)


async def _install_pgqueuer(url: str) -> None:
    async with _pgqueuer(url) as driver:
        await Queries(driver).install()


async def _enqueue_pgqueuer(url: str, tutors: Sequence[str]) -> None:
    payloads: list[bytes | None] = [tutor.encode() for tutor in tutors]
    async with _pgqueuer(url) as driver:
        await Queries(driver).enqueue(["generate"] * len(tutors), payloads, [0] * len(tutors))


async def _work_pgqueuer(url: str, work: Generate) -> None:
    async with _pgqueuer(url) as driver:
        manager = QueueManager(Queries(driver))

        async def job(job: Job) -> None:
            await work((job.payload or b"").decode())

        manager.entrypoint("generate", accepts_context=False)(job)
        await manager.run(batch_size=FETCHED, max_concurrent_tasks=2 * FETCHED)


PEERS = {
    "procrastinate": Peer(
        _install_procrastinate,
        _enqueue_procrastinate,
        _work_procrastinate,
        unfinished="SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1",
        failed="SELECT FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing') LIMIT 1",
    ),
    "pgqueuer": Peer(
        _install_pgqueuer,
        _enqueue_pgqueuer,
        _work_pgqueuer,
        unfinished="SELECT FROM pgqueuer LIMIT 1",
        failed="SELECT FROM pgqueuer_log WHERE status IN ('exception', 'canceled', 'failed') LIMIT 1",
    ),
}
