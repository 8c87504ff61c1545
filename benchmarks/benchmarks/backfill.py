"""How long a backfill of many tutors takes, and how much of that is reading.

Measured in turns, with every alert, insight and piece of evidence removed before each turn, so that each
backfill finds all of it anew:

- the backfill, as `tutorwatch backfill` runs it, with its lines thrown away;
- yardstick "statistics query": the one big read of generation alone, in the same batches, by the same plans;
- its results alone, written from tables where they lie ready, in one statement for each table;
- yardstick "plain join": the least any program must do to have two averages per tutor, one statement over all
  sessions with the server's own work_mem (and its parallel workers, if it chooses so);
- a loop of one generation and one transaction per tutor, over a sample, scaled up to all.
"""

import asyncio
import gc
import io
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import psycopg
import typer
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.changes import REMOVE_RESULTS
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.generation_parts import ReadyResults, read_statistics
from benchmarks.plain_join import PLAIN_JOIN
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.turns import in_turns
from database.connections import open_engine
from migrations import automation
from rules.generation import generate
from rules.settings import Thresholds
from rules.tutors import load_names
from scripts import backfill, environment


@dataclass(frozen=True)
class Options:
    """How many tutors, sessions of each, turns, tutors a batch, and tutors of the loop that is scaled up."""

    tutors: int
    sessions: int
    rounds: int
    batch_size: int
    sample: int


def command(
    tutors: Annotated[int | None, typer.Option(min=1, help="How many tutors [1000].")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Sessions of each, over 60 days [200].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured [5].")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, max=5000, help="Tutors per transaction [200].")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Tutors of the tutor-by-tutor loop [100].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """A backfill against the reads it can't do without, and against a loop tutor by tutor."""
    given = {"tutors": tutors, "sessions": sessions, "rounds": rounds, "batch_size": batch_size, "sample": sample}
    BENCHMARK.run(quick=quick, json_file=json_file, **given)


@dataclass
class Traffic:
    """What an engine has sent: statements (savepoints among them) and commits."""

    statements: int = 0
    commits: int = 0


def measure(server_url: str, options: Options) -> Report:
    """One round to warm up, then those that count."""
    limits = environment.read(Thresholds)
    with filled_database(server_url, "backfill", Size(options.tutors, options.sessions)) as url:
        say(f"Backfilling {options.rounds + 2} times, in turns with its yardsticks")
        with psycopg.connect(url, autocommit=True) as connection, asyncio.Runner() as runner:
            automation.switch(connection, on=True)
            work = _Work(runner, url, options, limits)
            try:
                return Report("backfill", asdict(options), _measure(connection, work, options), _notes(options))
            finally:
                runner.run(work.engine.dispose())


class _Work:
    """The measurements: each returns its seconds. Alerts, insights and evidence are removed before each."""

    def __init__(self, runner: asyncio.Runner, url: str, options: Options, limits: Thresholds) -> None:
        self._runner = runner
        self._options = options
        self._limits = limits
        self.engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=backfill.AT_ONCE)
        self._traffic = Traffic()
        self.traffic_of_backfill = Traffic()
        self.summary = backfill.Summary()
        event.listen(self.engine.sync_engine, "before_cursor_execute", self._count_statement)
        event.listen(self.engine.sync_engine, "commit", self._count_commit)
        self._ids: list[str] = runner.run(self._load_ids())

    def backfill(self) -> float:
        """The real thing, its lines thrown away; notes what it sent and created."""
        options = backfill.Options(batch_size=self._options.batch_size)

        async def work() -> None:
            self._traffic = Traffic()
            self.summary = await backfill.backfill(self.engine, self._limits, options, out=io.StringIO())
            self.traffic_of_backfill = replace(self._traffic)

        return self._time(work)

    def statistics_query(self) -> float:
        """The one big read of generation, in the same batches."""
        size = self._options.batch_size
        return self._time(lambda: read_statistics(self.engine, self._ids, self._limits, batch_size=size))

    def plain_join(self) -> float:
        """A count and two averages per tutor over all sessions, in one statement."""

        async def work() -> None:
            async with self.engine.begin() as conn:
                (await conn.execute(text(PLAIN_JOIN))).all()

        return self._time(work)

    def tutor_by_tutor(self) -> float:
        """One generation and one transaction per tutor, for the sample; scaled up to all tutors."""
        sample = self._ids[: self._options.sample]
        seconds = self._time(lambda: self._batch_by_batch(1, sample, self._generate))
        return seconds * len(self._ids) / len(sample)

    def _time(self, work: Callable[[], Coroutine[Any, Any, None]]) -> float:
        self._runner.run(self._remove_results())
        gc.collect()
        started = time.perf_counter()
        self._runner.run(work())
        return time.perf_counter() - started

    async def _batch_by_batch(
        self, size: int, ids: Sequence[str], work: Callable[[AsyncConnection, Sequence[str]], Awaitable[None]]
    ) -> None:
        for start in range(0, len(ids), size):
            async with self.engine.begin() as conn:
                await work(conn, ids[start : start + size])

    async def _generate(self, conn: AsyncConnection, ids: Sequence[str]) -> None:
        await generate(conn, ids, datetime.now(UTC), self._limits)

    async def _load_ids(self) -> list[str]:
        async with self.engine.connect() as conn:
            return list(await load_names(conn))

    async def _remove_results(self) -> None:
        async with self.engine.begin() as conn:
            for statement in REMOVE_RESULTS:
                await conn.execute(text(statement))

    def _count_statement(self, *_: object) -> None:
        self._traffic.statements += 1

    def _count_commit(self, *_: object) -> None:
        self._traffic.commits += 1


def _measure(connection: psycopg.Connection, work: _Work, options: Options) -> list[Figure]:
    work.backfill()
    results = ReadyResults(connection)
    seconds = in_turns(
        {
            "backfill": work.backfill,
            "statistics": work.statistics_query,
            "writing": results.write,
            "plain join": work.plain_join,
            "loop": work.tutor_by_tutor,
        },
        rounds=options.rounds,
    )
    whole, read, join = seconds["backfill"], seconds["statistics"], seconds["plain join"]
    what, loop = f"backfill of {options.tutors} tutors", "tutor by tutor, scaled up from the sample"
    created, sent = work.summary, work.traffic_of_backfill
    return [
        compared("backfill_seconds", what, "s", whole, read, to="bare statistics query"),
        compared("backfill_to_plain_join", "  the same", "s", whole, join, to="plain join"),
        compared("backfill_to_loop", "  the same", "s", whole, seconds["loop"], to="tutor by tutor"),
        compared("statistics_seconds", "bare statistics query, same batches", "s", read, join, to="plain join"),
        compared("writing_seconds", "just writing the results", "s", seconds["writing"], join, to="plain join"),
        measured("plain_join_seconds", "plain join, count and two averages", "s", join),
        compared("loop_seconds", loop, "s", seconds["loop"], read, to="bare statistics query"),
        Figure(name="milliseconds_per_tutor", what="per tutor", value=1000 * whole.median / created.tutors, unit="ms"),
        Figure(name="statements", what="statements sent in all", value=sent.statements, unit=""),
        Figure(name="commits", what="transactions committed", value=sent.commits, unit=""),
        Figure(name="alerts", what="alerts created", value=created.alerts, unit=""),
        Figure(name="insights", what="insights created", value=created.insights, unit=""),
    ]


def _notes(options: Options) -> tuple[str, ...]:
    sample = min(options.sample, options.tutors)
    return (
        "alerts, insights and evidence are removed before each measurement",
        f"the loop is measured on {sample} of {options.tutors} tutors and scaled up",
        "the plain join reads all sessions; the statistics query reads the rules' windows of them",
        "the results are written as a backfill had left them, from tables, in a statement for each of three tables",
    )


BENCHMARK = Benchmark(
    name="backfill",
    command=command,
    full=Options(tutors=1000, sessions=200, rounds=5, batch_size=200, sample=100),
    quick=Options(tutors=200, sessions=100, rounds=2, batch_size=200, sample=20),
    measure=measure,
)
