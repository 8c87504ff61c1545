"""How fast listeners work off what has piled up: a change of every tutor, nothing generated before.

Measured in turns, from the commit of the changes, which wakes listeners that are up already, until none is left:

- one `tutorwatch listen`;
- two of them, which share the work through the database alone;
- the one big read of generation alone, in batches of the listener's size, on one connection and on two at once;
- the results alone, written from tables where they lie ready, in one statement for each table;
- yardstick "plain join": the least any program must do to have two averages per tutor, one statement over the same
  rows with the server's own work_mem (and its parallel workers, if it chooses so).
"""

import asyncio
import os
import random
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import psycopg
import typer

from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.changes import remove_results, switch_on
from benchmarks.consumption import Took
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.draining import WARM_UP_TUTORS, drain
from benchmarks.generation_parts import ReadyResults, read_statistics
from benchmarks.plain_join import PLAIN_JOIN
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.samples import Samples
from benchmarks.turns import in_turns
from database.connections import open_engine
from listener.settings import ListenerSettings
from rules.settings import Thresholds
from scripts import environment


@dataclass(frozen=True)
class Options:
    """How many tutors, sessions of each, and turns."""

    tutors: int
    sessions: int
    rounds: int


def command(
    tutors: Annotated[int | None, typer.Option(min=1, help="How many tutors, all of them changed [10000].")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Sessions of each, over 60 days [200].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured [2].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """One and two listeners working off a change of every tutor, against a plain join of the same rows."""
    BENCHMARK.run(quick=quick, json_file=json_file, tutors=tutors, sessions=sessions, rounds=rounds)


def _size(options: Options) -> Size:
    return Size(options.tutors, options.sessions)


def measure(server_url: str, options: Options) -> Report:
    """Two listeners to warm up, then the rounds that count."""
    with filled_database(server_url, "drain", _size(options)) as url:
        switch_on(url)
        with psycopg.connect(url, autocommit=True) as connection:
            say(f"Working off {options.tutors:,} tutors {2 * options.rounds + 1} times, in turns with the plain join")
            figures = _measure(url, connection, options)
            figures += [
                Figure(name=table, what=f"{table} opened", value=_count(connection, query), unit="")
                for table, query in (
                    ("alerts", "SELECT count(*) FROM public.alerts"),
                    ("insights", "SELECT count(*) FROM public.tutor_insights"),
                )
            ]
    return Report("drain", asdict(options), figures, _NOTES)


_NOTES = (
    "alerts, insights and evidence are removed before each measurement; the listeners are up before it begins, and each"
    " has worked off a batch",
    "the listeners share the cores with the server: where there are two, that bounds what a second listener can add",
    "the plain join reads all sessions, with the server's own work_mem; generation reads the rules' windows of them",
    "the results are written as a drain had left them, from tables, in a statement for each of three tables",
)


def _measure(url: str, connection: psycopg.Connection, options: Options) -> list[Figure]:
    tutors, cores_busy = options.tutors, list[float]()

    def by(listeners: int) -> Took:
        return drain(url, connection, changes=tutors, tutors=tutors, listeners=listeners)

    def by_one() -> float:
        took = by(1)
        if took.cores_busy:
            cores_busy.append(took.cores_busy)
        return took.seconds

    def plain_join() -> float:
        started = time.perf_counter()
        connection.execute(PLAIN_JOIN).fetchall()
        return time.perf_counter() - started

    def statistics(connections: int) -> float:
        remove_results(connection)
        return asyncio.run(_read_statistics(url, tutors, connections))

    by(2)
    results = ReadyResults(connection)
    found = in_turns(
        {
            "join": plain_join,
            "one": by_one,
            "statistics": lambda: statistics(1),
            "two": lambda: by(2).seconds,
            "statistics_two": lambda: statistics(2),
            "writing": results.write,
        },
        rounds=options.rounds,
        warm_up=plain_join,
    )
    join, one = found["join"], found["one"]
    one_rate, two_rate = (found[name].per(tutors) for name in ("one", "two"))
    read_rate, read_two_rate = (found[name].per(tutors) for name in ("statistics", "statistics_two"))
    read = "statistics query alone, same batches"
    what = f"{options.tutors:,} tutors worked off"
    figures = [
        compared("drain_seconds", f"{what} by one listener", "s", one, join, to="plain join"),
        measured("plain_join_seconds", "plain join, count and two averages", "s", join),
        measured("drain_rate", "one listener", "tutors/s", one_rate),
        compared("drain_two_rate", "two listeners", "tutors/s", two_rate, one_rate, to="one listener"),
        compared("statistics_seconds", read, "s", found["statistics"], join, to="plain join"),
        compared(
            "statistics_two_rate",
            "  two connections at once",
            "tutors/s",
            read_two_rate,
            read_rate,
            to="one connection",
        ),
        compared("writing_seconds", "just writing the results", "s", found["writing"], join, to="plain join"),
    ]
    if cores_busy:
        busy, cores = Samples(cores_busy).median, os.cpu_count() or 1
        figures.append(
            Figure(
                name="drain_cores_busy",
                what="  cores busy with one listener",
                value=busy,
                unit="",
                ratio=cores / busy,
                yardstick=f"all {cores}: the most that more listeners can bring here",
            )
        )
    return figures


async def _read_statistics(url: str, tutors: int, connections: int) -> float:
    """Seconds; each connection has read some before."""
    limits, batch_size = environment.read(Thresholds), environment.read(ListenerSettings).batch_size
    ids = [f"bench-tutor-{1 + number}" for number in range(tutors)]
    random.Random(7).shuffle(ids)  # noqa: S311 - in no order, as changes are
    engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=connections)
    try:
        few = ids[: connections * WARM_UP_TUTORS]
        await read_statistics(engine, few, limits, batch_size=WARM_UP_TUTORS, connections=connections)
        started = time.perf_counter()
        await read_statistics(engine, ids, limits, batch_size=batch_size, connections=connections)
        return time.perf_counter() - started
    finally:
        await engine.dispose()


def _count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


BENCHMARK = Benchmark(
    name="drain",
    command=command,
    full=Options(tutors=10_000, sessions=200, rounds=2),
    quick=Options(tutors=800, sessions=40, rounds=1),
    measure=measure,
    size=_size,
)
