"""Whether one tutor's generation stays as quick whatever else there is.

- In tables of many sessions: the generation of one tutor after another, each in a transaction of its own, in databases
  of different size in turns; every tutor has as many sessions and has been generated before.
- Beside a giant, a tutor with so many sessions in the rules' window that they are a large platform's: how soon
  ordinary tutors' alerts are there while the giant changes once a second, in turns with a giant who doesn't.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Annotated

import psycopg
import typer

from benchmarks.alert_latency import Block, Writer, tutors_for
from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.giant import GIANT, changing_giant, make_giant
from benchmarks.listening import listener
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.samples import Samples
from benchmarks.settling import settle
from benchmarks.turns import in_turns
from database.connections import open_engine
from rules.generation import generate
from rules.settings import Thresholds
from scripts import environment

SESSIONS_EACH = 200
SAMPLE = 1000
"""Tutors who are generated in turn, spread over the table: so many that their rows don't all stay in memory."""
BATCH = 200
GIANT_HISTORY = 60
"""Sessions of each ordinary tutor beside the giant."""
GIANT_CHANGES_SECONDS = 1.0
RATE = 20.0
"""Sessions of ordinary tutors a second."""


@dataclass(frozen=True)
class Options:
    """How many sessions the tables hold, each size compared with the first; generations in each turn, and turns;
    the giant's sessions, and the seconds of each of its turns."""

    sessions: tuple[int, ...]
    generations: int
    rounds: int
    giant: int
    seconds: float

    @property
    def block(self) -> int:
        """How many sessions of ordinary tutors are written in one turn beside the giant."""
        return max(1, round(RATE * self.seconds))

    @property
    def tutors_beside_giant(self) -> int:
        """Enough for the measurement."""
        return tutors_for(2 * self.rounds_of_giant * self.block)

    @property
    def rounds_of_giant(self) -> int:
        """Fewer, longer turns."""
        return max(1, self.rounds // 4)


def command(
    sessions: Annotated[
        list[int] | None,
        typer.Option(min=SESSIONS_EACH, help="Sessions in the tables; again for each size [10000, 2000000]."),
    ] = None,
    generations: Annotated[int | None, typer.Option(min=1, help="Generations in each turn [50].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Turns with each size [8].")] = None,
    giant: Annotated[int | None, typer.Option(min=1, help="Sessions of the giant, in 30 days [20000].")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Seconds of each giant's turn [8].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """One tutor's generation in small and large tables, and others' alerts beside a tutor with very many sessions."""
    sizes = tuple(sessions) if sessions else None
    given = {"sessions": sizes, "generations": generations, "rounds": rounds, "giant": giant, "seconds": seconds}
    BENCHMARK.run(quick=quick, json_file=json_file, **given)


def measure(server_url: str, options: Options) -> Report:
    """The sizes first, then the giant."""
    figures = [*_size_figures(server_url, options), *_giant_figures(server_url, options)]
    return Report("scale", asdict(options), figures, _NOTES)


_NOTES = (
    f"every tutor has {SESSIONS_EACH} sessions; up to {SAMPLE} of each size, spread over its tables, take turns",
    "for 20 million sessions: --sessions 10000 --sessions 20000000; their loading takes disk and time",
    f"beside the giant: {RATE:.0f} sessions of others a second; it changes every {GIANT_CHANGES_SECONDS:.0f} s",
)


# Sizes


def _size_figures(server_url: str, options: Options) -> list[Figure]:
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        measurements = {}
        for sessions in options.sessions:
            url = stack.enter_context(filled_database(server_url, f"scale_{sessions}", _size_of(sessions)))
            generations = _Generations(runner, url, _spread(url))
            stack.callback(generations.close)
            measurements[str(sessions)] = partial(generations.median_of, options.generations)
        say(f"Generating one tutor after another, {options.generations} in each turn")
        found = in_turns(measurements, rounds=options.rounds)
    first, *others = (f"{sessions:,} sessions" for sessions in options.sessions)
    smallest, *rest = (found[str(sessions)] for sessions in options.sessions)
    return [
        measured(f"generation_{options.sessions[0]}", f"one tutor's generation among {first}", "ms", smallest),
        *(
            compared(_name(sessions, options), f"  among {what}", "ms", samples, smallest, to=first)
            for sessions, what, samples in zip(options.sessions[1:], others, rest, strict=True)
        ),
    ]


def _size_of(sessions: int) -> Size:
    return Size(-(-sessions // SESSIONS_EACH), SESSIONS_EACH)


def _largest(options: Options) -> Size:
    return _size_of(max(options.sessions))


def _name(sessions: int, options: Options) -> str:
    return "generation_largest" if sessions == max(options.sessions) else f"generation_{sessions}"


def _spread(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT user_id FROM public.tutors ORDER BY md5(user_id) LIMIT %s", [SAMPLE])
        return [tutor for (tutor,) in found]


class _Generations:
    """Generates tutor after tutor of one database, all of whom have been generated before."""

    def __init__(self, runner: asyncio.Runner, url: str, tutors: Sequence[str]) -> None:
        self._runner = runner
        self._limits = environment.read(Thresholds)
        self._engine = open_engine(url, application_name="tutorwatch-bench", keep_connections=1)
        self._tutors = cycle(tutors)
        for start in range(0, len(tutors), BATCH):
            runner.run(self._generate(tutors[start : start + BATCH]))

    def close(self) -> None:
        """Lets go of the database."""
        self._runner.run(self._engine.dispose())

    def median_of(self, generations: int) -> float:
        """Milliseconds, from the beginning of a transaction to the answer of its COMMIT."""
        times = []
        for _ in range(generations):
            started = time.perf_counter()
            self._runner.run(self._generate([next(self._tutors)]))
            times.append(1000 * (time.perf_counter() - started))
        return Samples(times).median

    async def _generate(self, tutors: Sequence[str]) -> None:
        async with self._engine.begin() as conn:
            await generate(conn, tutors, datetime.now(UTC), self._limits)


# The giant


def _giant_figures(server_url: str, options: Options) -> list[Figure]:
    size = Size(options.tutors_beside_giant, GIANT_HISTORY)
    with filled_database(server_url, "giant", size) as url:
        make_giant(url, options.giant)
        alone = _alone(url, options)
        sessions = 2 * options.rounds_of_giant * options.block
        writer = Writer(url, RATE, sessions)
        say("Starting a listener, which looks at every tutor first")
        with listener(url):
            writer.warm_up()
            say(f"Writing {sessions} sessions, in turns beside a giant at rest and one that changes")
            settle(url)
            without: list[Block] = []
            beside: list[Block] = []
            turns = ((without, False), (beside, True))
            for number in range(options.rounds_of_giant):
                for blocks, changing in turns if number % 2 == 0 else reversed(turns):
                    with changing_giant(url, every_seconds=GIANT_CHANGES_SECONDS) if changing else nullcontext():
                        blocks.append(writer.write(options.block))
    p95, p95_without = (_percentiles(blocks, 95) for blocks in (beside, without))
    p50, p50_without = (_percentiles(blocks, 50) for blocks in (beside, without))
    bare, bare_without = (
        Samples([block.bare.milliseconds().percentile(95) for block in blocks]) for blocks in (beside, without)
    )
    to = "giant at rest"
    return [
        *alone,
        _giant_to_rest(alone, p95_without),
        compared("giant_p50", "others' alerts while the giant changes, p50", "ms", p50, p50_without, to=to),
        compared("giant_p95", "  p95", "ms", p95, p95_without, to=to),
        compared("giant_bare_p95", "  bare notifications between them, p95", "ms", bare, bare_without, to=to),
        measured("giant_rest_p95", "  p95 with the giant at rest", "ms", p95_without),
    ]


def _giant_to_rest(alone: Sequence[Figure], rest: Samples) -> Figure:
    """What everybody whose session comes during it may have to wait for."""
    takes = next(figure for figure in alone if figure.name == "giant_generation").value
    return Figure(
        name="giant_to_rest",
        what="  the same",
        value=takes,
        unit="ms",
        ratio=takes / rest.median,
        yardstick="others' p95, giant at rest",
    )


def _alone(url: str, options: Options) -> list[Figure]:
    """The generation of the giant, which others may have to wait for."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        measurements = {}
        for name, tutor in (("giant", GIANT), ("ordinary", "bench-tutor-2")):
            generations = _Generations(runner, url, [tutor])
            stack.callback(generations.close)
            measurements[name] = partial(generations.median_of, 3)
        found = in_turns(measurements, rounds=options.rounds)
    what = f"generation of a giant, {options.giant:,} sessions in the window"
    return [compared("giant_generation", what, "ms", found["giant"], found["ordinary"], to="an ordinary tutor")]


def _percentiles(blocks: Sequence[Block], percent: float) -> Samples:
    return Samples([block.sessions.milliseconds().percentile(percent) for block in blocks])


BENCHMARK = Benchmark(
    name="scale",
    command=command,
    full=Options(sessions=(10_000, 2_000_000), generations=50, rounds=8, giant=20_000, seconds=8),
    quick=Options(sessions=(10_000, 20_000), generations=8, rounds=3, giant=5_000, seconds=3),
    measure=measure,
    size=_largest,
)
