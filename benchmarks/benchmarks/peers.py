"""The same work by two job queues on PostgreSQL, procrastinate and pgqueuer, whose job is our generation.

Changes pile up; one worker process works them off, ours or theirs, up and warm before they are committed. Changes of
as many tutors show what it costs to take and finish each; changes of few tutors, what is saved by generating once for
many of them. The peers are measured on a part of their jobs, evenly drawn, and scaled up: they work job by job.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Annotated

import psycopg
import typer

from benchmarks import peers
from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.changes import remove_results, switch_on
from benchmarks.consumption import Took
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.draining import drain
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.samples import Samples
from benchmarks.turns import in_turns

WARM_UP_PART = 10
"""One of so many changes is worked off before any that count."""


@dataclass(frozen=True)
class Options:
    """How many changes; of how many tutors, or of how few; sessions of each tutor; jobs that the peers are measured
    on; and turns."""

    changes: int
    tutors: int
    few: int
    sessions: int
    sample: int
    rounds: int


def command(
    changes: Annotated[int | None, typer.Option(min=1, help="Changes that have piled up [10000].")] = None,
    tutors: Annotated[int | None, typer.Option(min=1, help="Tutors of the changes [10000].")] = None,
    few: Annotated[int | None, typer.Option(min=1, help="Tutors when they are few [100].")] = None,
    sessions: Annotated[int | None, typer.Option(min=1, help="Sessions of each, over 60 days [200].")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Jobs of the peers, scaled up to all [400].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured [1].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """The same changes, worked off by a listener and by workers of procrastinate and pgqueuer."""
    given = {"changes": changes, "tutors": tutors, "few": few, "sessions": sessions, "sample": sample}
    BENCHMARK.run(quick=quick, json_file=json_file, rounds=rounds, **given)


def _size(options: Options) -> Size:
    return Size(max(options.tutors, options.few), options.sessions)


def measure(server_url: str, options: Options) -> Report:
    """A few changes to warm up, then the rounds that count."""
    if not peers.are_installed():
        return Report("peers", asdict(options), (), [peers.NOT_INSTALLED])
    with filled_database(server_url, "peers", _size(options)) as url:
        switch_on(url)
        for peer in peers.PEERS.values():
            asyncio.run(peer.install(url))
        with psycopg.connect(url, autocommit=True) as connection:
            _warm_up(url, connection, options)
            figures = [
                figure
                for name, tutors in (("many", options.tutors), ("few", options.few))
                for figure in _figures(url, connection, options, name, tutors)
            ]
    return Report("peers", asdict(options), figures, _notes(options))


def _notes(options: Options) -> Sequence[str]:
    sample = min(options.sample, options.changes)
    return (
        ", ".join(f"{name} {version(name)}" for name in peers.PEERS) + "; one worker process each, on the same server",
        f"the peers are measured on {sample} of {options.changes} jobs and scaled up; {peers.AT_ONCE} jobs at once",
        "a peer's job for each change: both can refuse a second job for a tutor who has one waiting (queueing_lock,"
        " dedupe_key), which then whoever writes has to ask for, and to wait for others' locks",
    )


def _figures(url: str, connection: psycopg.Connection, options: Options, which: str, tutors: int) -> Sequence[Figure]:
    say(f"Working off {options.changes:,} changes of {tutors:,} tutors, in turns with the peers")

    per_processor_second: dict[str, list[float]] = {name: [] for name in ("tutorwatch", *peers.PEERS)}

    def seconds_for_all(name: str, took: Took, changes: int) -> float:
        if took.processor_seconds:
            per_processor_second[name].append(changes / took.processor_seconds)
        return took.seconds * options.changes / changes

    def ours() -> float:
        took = drain(url, connection, changes=options.changes, tutors=tutors)
        return seconds_for_all("tutorwatch", took, options.changes)

    def theirs(name: str) -> float:
        jobs = _drawn(options, tutors)
        return seconds_for_all(name, _work_off(name, url, connection, jobs), len(jobs))

    measurements = {"tutorwatch": ours} | {name: partial(theirs, name) for name in peers.PEERS}
    turns = in_turns(measurements, rounds=options.rounds, warm_up=lambda: None)
    found = {name: seconds.per(options.changes) for name, seconds in turns.items()}
    key, better = f"changes_of_{which}", max(peers.PEERS, key=lambda name: found[name].median)
    what = f"{options.changes:,} changes of {tutors:,} tutors"
    figures = [
        compared(
            f"{key}_tutorwatch", f"{what}, tutorwatch", "changes/s", found["tutorwatch"], found[better], to=better
        ),
        *(measured(f"{key}_{name}", f"  {name}", "changes/s", found[name]) for name in peers.PEERS),
    ]
    if all(per_processor_second.values()):
        ours_per, theirs_per = (Samples(per_processor_second[name]) for name in ("tutorwatch", better))
        unit = "changes/processor second"
        figures.append(
            compared(f"{key}_per_processor", "  tutorwatch, of all cores", unit, ours_per, theirs_per, to=better)
        )
    return figures


def _warm_up(url: str, connection: psycopg.Connection, options: Options) -> None:
    """A part of the changes, by each; what is started for a measurement warms up by itself besides."""
    few = max(1, options.changes // WARM_UP_PART)
    drain(url, connection, changes=few, tutors=min(few, options.tutors))
    for name in peers.PEERS:
        _work_off(name, url, connection, _drawn(options, options.tutors)[: peers.WARM_UP_JOBS])


def _work_off(name: str, url: str, connection: psycopg.Connection, jobs: Sequence[str]) -> Took:
    remove_results(connection)
    with peers.worker(name, url):
        return peers.work_off(name, url, jobs)


def _drawn(options: Options, tutors: int) -> Sequence[str]:
    """The tutors of as many changes as the peers are measured on."""
    changes = [f"bench-tutor-{1 + number % tutors}" for number in range(options.changes)]
    return random.Random(7).sample(changes, min(options.sample, len(changes)))  # noqa: S311 - jobs, not secrets


BENCHMARK = Benchmark(
    name="peers",
    command=command,
    full=Options(changes=10_000, tutors=10_000, few=100, sessions=200, sample=400, rounds=1),
    quick=Options(changes=300, tutors=300, few=5, sessions=40, sample=20, rounds=1),
    measure=measure,
    size=_size,
)
