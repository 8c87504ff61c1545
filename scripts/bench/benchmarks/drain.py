"""How fast listeners work off what has piled up: a change of every tutor, nothing generated before.

Measured in turns, from the commit of the changes, which wakes listeners that are up already, until none is left:

- one `tutorwatch listen`;
- two of them, which share the work through the database alone;
- yardstick "plain join": the least any program must do to have two averages per tutor, one statement over the same
  rows with the server's own work_mem (and its parallel workers, if it chooses so).
"""

import os
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import psycopg
import typer

from scripts.bench.benchmark import Benchmark, JsonFile, Quick
from scripts.bench.changes import switch_on
from scripts.bench.databases import filled_database
from scripts.bench.dataset import Size
from scripts.bench.draining import drain
from scripts.bench.plain_join import PLAIN_JOIN
from scripts.bench.progress import say
from scripts.bench.report import Figure, Report, compared, measured
from scripts.bench.samples import Samples
from scripts.bench.turns import in_turns


@dataclass(frozen=True)
class Options:
    """How many tutors, sessions of each, and turns."""

    tutors: int
    sessions: int
    rounds: int


def command(
    tutors: Annotated[int | None, typer.Option(min=1, help="How many tutors, all of them changed [10000].")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Sessions of each, over 60 days [200].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured [1].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """One and two listeners working off a change of every tutor, against a plain join of the same rows."""
    BENCHMARK.run(quick=quick, json_file=json_file, tutors=tutors, sessions=sessions, rounds=rounds)


def _size(options: Options) -> Size:
    return Size(options.tutors, options.sessions)


def measure(server_url: str, options: Options) -> Report:
    """One round to warm up, then those that count."""
    with filled_database(server_url, "drain", _size(options)) as url:
        switch_on(url)
        with psycopg.connect(url, autocommit=True) as connection:
            say(f"Working off {options.tutors:,} tutors {2 * options.rounds + 2} times, in turns with the plain join")
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
    "alerts, insights and evidence are removed before each measurement; the listeners are up before it begins",
    "the listeners share the cores with the server: where there are two, that bounds what a second listener can add",
    "the plain join reads all sessions, with the server's own work_mem; generation reads the rules' windows of them",
)


def _measure(url: str, connection: psycopg.Connection, options: Options) -> list[Figure]:
    cores_busy: list[float] = []

    def by(listeners: int) -> float:
        took = drain(url, connection, changes=options.tutors, tutors=options.tutors, listeners=listeners)
        if listeners == 1 and took.cores_busy:
            cores_busy.append(took.cores_busy)
        return took.seconds

    def plain_join() -> float:
        started = time.perf_counter()
        connection.execute(PLAIN_JOIN).fetchall()
        return time.perf_counter() - started

    found = in_turns({"join": plain_join, "one": lambda: by(1), "two": lambda: by(2)}, rounds=options.rounds)
    join, one = found["join"], found["one"]
    one_rate, two_rate = (found[name].per(options.tutors) for name in ("one", "two"))
    what = f"{options.tutors:,} tutors worked off"
    figures = [
        compared("drain_seconds", f"{what} by one listener", "s", one, join, to="plain join"),
        measured("plain_join_seconds", "plain join, count and two averages", "s", join),
        measured("drain_rate", "one listener", "tutors/s", one_rate),
        compared("drain_two_rate", "two listeners", "tutors/s", two_rate, one_rate, to="one listener"),
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


def _count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


BENCHMARK = Benchmark(
    name="drain",
    command=command,
    full=Options(tutors=10_000, sessions=200, rounds=1),
    quick=Options(tutors=800, sessions=40, rounds=1),
    measure=measure,
    size=_size,
)
