"""Job queues on PostgreSQL that are made for the same: a worker of theirs, whose job is our generation.

Each is set up as its own documentation advises for many short jobs. Their packages are optional: importing this needs
none of them.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.consumption import Stopwatch, Took
from benchmarks.listening import wait_until_none
from benchmarks.processes import environment_for, stop
from database.connections import open_engine
from rules.generation import generate
from rules.settings import Thresholds
from scripts import environment
from scripts.errors import CommandError

if TYPE_CHECKING:
    import procrastinate
    from pgqueuer.db import AsyncpgPoolDriver

NOT_INSTALLED = "the peers aren't installed: `pip install 'tutorwatch[bench]'`"

AT_ONCE = 4
"""Jobs that a worker has under way at once: with more, they wait for the two cores and for each other."""
FETCHED = 25
"""Jobs that pgqueuer fetches at once; twice as many may be under way or waiting in the worker."""
WARM_UP_JOBS = 40

Generate = Callable[[str], Awaitable[None]]
"""The job: brings the tutor's alerts and insights up to date, in a transaction of its own."""


@dataclass(frozen=True)
class Peer:
    """A job queue: how it is installed in a database, how jobs get in, a worker, and what its tables say."""

    install: Callable[[str], Coroutine[Any, Any, None]]
    enqueue: Callable[[str, Sequence[str]], Coroutine[Any, Any, None]]
    """A job for each of these tutors, all in one transaction."""
    work: Callable[[str, Generate], Coroutine[Any, Any, None]]
    """Works off jobs until it is cancelled."""
    unfinished: LiteralString
    """A query that has a row while a job is."""
    failed: LiteralString
    """A query for the number of jobs that failed."""


# procrastinate


def _procrastinate(url: str) -> "procrastinate.App":
    import procrastinate

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


# pgqueuer


@asynccontextmanager
async def _pgqueuer(url: str, connections: int) -> AsyncIterator["AsyncpgPoolDriver"]:
    """By asyncpg, which its documentation calls the fastest of its drivers."""
    import asyncpg
    from pgqueuer.db import AsyncpgPoolDriver

    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    names = {"host": "host", "user": "user", "password": "password", "dbname": "database", "sslmode": "ssl"}
    values: dict[str, Any] = {theirs: parts[ours] for ours, theirs in names.items() if ours in parts}
    if "port" in parts:
        values["port"] = int(parts["port"])
    async with asyncpg.create_pool(**values, min_size=connections, max_size=connections) as pool:
        yield AsyncpgPoolDriver(pool)


async def _install_pgqueuer(url: str) -> None:
    from pgqueuer.queries import Queries

    async with _pgqueuer(url, 1) as driver:
        await Queries(driver).install()


async def _enqueue_pgqueuer(url: str, tutors: Sequence[str]) -> None:
    from pgqueuer.queries import Queries

    payloads: list[bytes | None] = [tutor.encode() for tutor in tutors]
    async with _pgqueuer(url, 1) as driver:
        await Queries(driver).enqueue(["generate"] * len(tutors), payloads, [0] * len(tutors))


async def _work_pgqueuer(url: str, work: Generate) -> None:
    from pgqueuer.models import Job
    from pgqueuer.qm import QueueManager
    from pgqueuer.queries import Queries

    async with _pgqueuer(url, AT_ONCE + 2) as driver:
        manager = QueueManager(Queries(driver))

        async def job(job: Job) -> None:
            await work((job.payload or b"").decode())

        manager.entrypoint("generate", accepts_context=False)(job)
        await manager.run(batch_size=FETCHED, max_concurrent_tasks=2 * FETCHED)


# Both


PEERS = {
    "procrastinate": Peer(
        _install_procrastinate,
        _enqueue_procrastinate,
        _work_procrastinate,
        unfinished="SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1",
        failed="SELECT count(*) FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')",
    ),
    "pgqueuer": Peer(
        _install_pgqueuer,
        _enqueue_pgqueuer,
        _work_pgqueuer,
        unfinished="SELECT FROM pgqueuer LIMIT 1",
        failed="SELECT count(*) FROM pgqueuer_log WHERE status IN ('exception', 'canceled', 'failed')",
    ),
}


def are_installed() -> bool:
    """Whether the peers' packages are there."""
    return all(find_spec(name) for name in (*PEERS, "asyncpg", "uvloop"))


@contextmanager
def worker(name: str, url: str) -> Iterator[None]:
    """One worker process while the block runs; it has done a few jobs when the block begins."""
    process = subprocess.Popen(  # noqa: S603 - this very module, not as __main__, which procrastinate warns of
        [sys.executable, "-c", f"from benchmarks.peers import serve; serve({name!r})"], env=environment_for(url)
    )
    try:
        asyncio.run(PEERS[name].enqueue(url, ["bench-tutor-1"] * WARM_UP_JOBS))
        wait_until_none(
            url, PEERS[name].unfinished, f"{name} didn't begin to work", is_alive=lambda: process.poll() is None
        )
        yield
    finally:
        stop(process)


def work_off(name: str, url: str, tutors: Sequence[str]) -> Took:
    """From the commit of a job for each of these tutors until none is left. Raises CommandError if one failed."""
    peer = PEERS[name]
    asyncio.run(peer.enqueue(url, tutors))
    watch = Stopwatch()
    wait_until_none(url, peer.unfinished, f"{name} didn't work off its jobs")
    took = watch.took()
    with psycopg.connect(url) as connection:
        row = connection.execute(peer.failed).fetchone()
    if row and row[0]:
        raise CommandError(f"{row[0]} jobs of {name} failed")
    return took


def serve(name: str) -> None:
    """The worker of that name, until the process is ended."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(name))


async def _serve(name: str) -> None:
    url, limits = environment.database_url(), environment.read(Thresholds)
    engine = open_engine(url, application_name=f"bench-{name}", keep_connections=AT_ONCE)
    free = asyncio.Semaphore(AT_ONCE)

    async def generate_alone(tutor_id: str) -> None:
        async with free, engine.begin() as conn:
            await generate(conn, [tutor_id], datetime.now(UTC), limits)

    await PEERS[name].work(url, generate_alone)
