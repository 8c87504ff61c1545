"""What Tutorwatch costs while nothing happens, and how soon it is there.

- At rest: `tutorwatch listen` and `tutorwatch run` side by side on a small database that nobody writes to: their share
  of a core, their memory, and their statements, counted by a relay between them and the server.
- Starts: `tutorwatch --help`, and `tutorwatch listen` until it says that it listens, in turns with an interpreter that
  does nothing.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.changes import switch_on
from benchmarks.consumption import difference, processor_seconds, resident_mebibytes
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.processes import COMMAND, Running, running
from benchmarks.progress import say
from benchmarks.relay import Counted, counting
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.turns import in_turns

SIZE = Size(tutors=100, sessions_each=50)
SETTLE_SECONDS = 3.0
"""After the start of the services: the listener looks around for a second, the dashboard counts its figures."""
SERVICES = {"listen": "listening", "run": "serving"}
"""The services, and what each logs when it is up."""


@dataclass(frozen=True)
class Options:
    """How long the services are left alone, and how often each start is measured."""

    seconds: float
    starts: int


def command(
    seconds: Annotated[float | None, typer.Option(min=1, help="How long the services are at rest [60].")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="How often each start is measured [7].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """Processor, memory and statements of services at rest, and how long they take to start."""
    BENCHMARK.run(quick=quick, json_file=json_file, seconds=seconds, starts=starts)


def measure(server_url: str, options: Options) -> Report:
    """The starts first, then the rest."""
    with filled_database(server_url, "idle", SIZE) as url:
        switch_on(url)
        say(f"Starting each {options.starts + 1} times")
        figures = _start_figures(url, options.starts)
        say(f"Leaving {' and '.join(SERVICES)} alone for {options.seconds:.0f} s")
        at_rest = _at_rest(url, options.seconds)
        figures += [figure for service, rest in at_rest.items() for figure in _rest_figures(service, rest)]
        return Report("idle", asdict(options), figures, _NOTES)


_NOTES = (
    "statements are those that pass over the wire: BEGIN and COMMIT count too",
    "a listener beats every 10 s and looks into the outbox every 30 s: less than a minute at rest says little",
    "processor and memory are the services' own, where the system tells them: the server's aren't in them",
)


# Starts


def _start_figures(url: str, starts: int) -> list[Figure]:
    found = in_turns(
        {
            "nothing": lambda: _run_to_its_end([sys.executable, "-c", "pass"]),
            "help": lambda: _run_to_its_end([*COMMAND, "--help"]),
            "listen": lambda: _start_of_a_listener(url),
        },
        rounds=starts,
    )
    nothing, to = found["nothing"], "python -c pass"
    return [
        measured("nothing_seconds", "python -c pass", "s", nothing),
        compared("help_seconds", "tutorwatch --help", "s", found["help"], nothing, to=to),
        compared("listen_seconds", "tutorwatch listen, until it listens", "s", found["listen"], nothing, to=to),
    ]


def _run_to_its_end(arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own commands
    return time.perf_counter() - started


def _start_of_a_listener(url: str) -> float:
    with running("listen", url, until=SERVICES["listen"]) as service:
        return service.start_seconds


# Rest


@dataclass(frozen=True)
class _Rest:
    """What a service did in so many seconds, and its memory at their end; None where the system doesn't say."""

    seconds: float
    statements: int
    processor_seconds: float | None
    mebibytes: float | None


def _at_rest(url: str, seconds: float) -> dict[str, _Rest]:
    with ExitStack() as stack:
        watched: dict[str, tuple[Running, Counted]] = {}
        for service, until in SERVICES.items():
            through, counted = stack.enter_context(counting(url))
            up = stack.enter_context(running(service, through, until=until, TUTORWATCH_WEB_PORT="0"))
            watched[service] = up, counted
        time.sleep(SETTLE_SECONDS)
        before = {service: _so_far(*watched[service]) for service in watched}
        started = time.perf_counter()
        time.sleep(seconds)
        after = {service: _so_far(*watched[service]) for service in watched}
        took = time.perf_counter() - started
        return {
            service: _Rest(
                took,
                after[service][0] - before[service][0],
                difference(before[service][1], after[service][1]),
                resident_mebibytes(up.process_id),
            )
            for service, (up, _) in watched.items()
        }


def _so_far(service: Running, counted: Counted) -> tuple[int, float | None]:
    return counted.statements, processor_seconds(service.process_id)


def _rest_figures(service: str, rest: _Rest) -> list[Figure]:
    what, per_minute = f"tutorwatch {service} at rest", rest.statements * 60 / rest.seconds
    figures = [Figure(name=f"{service}_statements", what=f"{what}, statements", value=per_minute, unit="/min")]
    if rest.processor_seconds is not None:
        share = 100 * rest.processor_seconds / rest.seconds
        figures.append(Figure(name=f"{service}_processor", what="  of one core", value=share, unit="%"))
    if rest.mebibytes is not None:
        figures.append(Figure(name=f"{service}_memory", what="  resident memory", value=rest.mebibytes, unit="MiB"))
    return figures


BENCHMARK = Benchmark(
    name="idle",
    command=command,
    full=Options(seconds=60, starts=7),
    quick=Options(seconds=10, starts=1),
    measure=measure,
)
