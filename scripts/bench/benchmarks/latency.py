"""How soon after a session's commit its alert is there for others to see, and how soon while an import runs.

The yardstick is the least that any such design must cost: a notification from one connection to another,
sent half-way between two sessions. Blocks of sessions beside an import take turns with blocks without.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from scripts.bench.alert_latency import Block, Writer, together, tutors_for
from scripts.bench.benchmark import Benchmark, JsonFile, Quick
from scripts.bench.consumption import difference, listener_processor_seconds
from scripts.bench.databases import filled_database
from scripts.bench.dataset import Size
from scripts.bench.importing import importing
from scripts.bench.listening import listener
from scripts.bench.progress import say
from scripts.bench.report import Figure, Report, compared, measured
from scripts.bench.rounds import STATEMENTS_OF_A_ROUND, empty_rounds, reading_rounds
from scripts.bench.samples import Samples
from scripts.errors import CommandError

MILLION, SECONDS_A_DAY = 1_000_000, 86_400


@dataclass(frozen=True)
class Options:
    """`rate` in sessions a second, for so many seconds without an import and at most so many beside imports of
    `rows` sessions, in so many turns; the tutors' history is `history` sessions each."""

    rate: float
    seconds: float
    history: int
    rows: int
    rounds: int

    @property
    def block(self) -> int:
        """How many sessions are written in one turn."""
        return max(1, round(self.rate * self.seconds / self.rounds))


def command(
    rate: Annotated[float | None, typer.Option(min=0.1, help="Sessions a second [50].")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="For so long [30].")] = None,
    history: Annotated[int | None, typer.Option(min=1, help="Sessions each tutor has already [60].")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Sessions of each import [200000].")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Imports, in turns with none [2].")] = None,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """From the commit of a session to its alert being visible, through a real listener; also beside an import."""
    given = {"rate": rate, "seconds": seconds, "history": history, "rows": rows, "rounds": rounds}
    BENCHMARK.run(quick=quick, json_file=json_file, **given)


def measure(server_url: str, options: Options) -> Report:
    """Writes the sessions at an even pace, beside a listener that has looked at every tutor before."""
    sessions = 2 * options.rounds * options.block
    with filled_database(server_url, "latency", Size(tutors_for(sessions), options.history)) as url:
        writer = Writer(url, options.rate, sessions)
        say("Starting a listener, which looks at every tutor first")
        with listener(url) as process:
            writer.warm_up()
            say(f"Writing {sessions} sessions, in turns without and beside a COPY of {options.rows:,}")
            quiet, busy, spent = [], [], list[float | None]()
            for _ in range(options.rounds):
                before = listener_processor_seconds(process.process_id, url)
                quiet.append(writer.write(options.block))
                spent.append(difference(before, listener_processor_seconds(process.process_id, url)))
                busy.append(_write_beside_import(url, writer, options))
        block, empty = together(quiet), asyncio.run(empty_rounds(url))
        reading = asyncio.run(reading_rounds(url, writer.tutors))
        figures = [
            *_quiet_figures(block),
            *_cost(spent, options),
            _part(
                "empty_round", f"a transaction of {STATEMENTS_OF_A_ROUND} statements that ask for nothing", empty, block
            ),
            _part("reading_round", "  one of which reads a tutor's statistics instead", reading, block),
            *_busy_figures(quiet, busy, options),
        ]
        return Report("latency", asdict(options), figures, _NOTES)


def _write_beside_import(url: str, writer: Writer, options: Options) -> Block:
    """The sessions that were written while the import, or what it changed, was at work."""
    with importing(url, options.rows, not_of=writer.tutors) as wait_for_its_end:
        block = writer.write(options.block)
        found = block.sent_between(*wait_for_its_end())
    if not found.sessions.sent:
        raise CommandError("No session was written while the import was at work: give it more --rows")
    return found


_NOTES = (
    "times begin when the client sends COMMIT: they hold its own flush to disk, which a bare notification hasn't",
    "an alert is seen through a trigger of the benchmark's that notifies on insert: its cost is included",
    "the empty transaction is sent as the listener sends its own: what the way costs, whatever is asked",
    "beside an import: from the first row of a COPY, whose client shares the cores, until its tutors are generated",
)


def _quiet_figures(block: Block) -> list[Figure]:
    alerts, bare = block.sessions.milliseconds(), block.bare.milliseconds()
    written = len(alerts.values)
    return [
        # Here the ratio of the medians: a session and the notification after it are no pair.
        Figure(
            name="alert_p50",
            what="commit sent -> alert visible, p50",
            value=alerts.median,
            unit="ms",
            spread=alerts.quartiles,
            ratio=alerts.median / bare.median,
            yardstick="bare NOTIFY round trip",
        ),
        *(
            Figure(
                name=f"alert_p{percent}",
                what=f"  p{percent}",
                value=alerts.percentile(percent),
                unit="ms",
                ratio=alerts.percentile(percent) / bare.median,
                yardstick="bare NOTIFY round trip, median",
            )
            for percent in (95, 99)
        ),
        Figure(name="alert_max", what="  max", value=max(alerts.values), unit="ms"),
        measured(
            "alert_from_answer_p50",
            "commit answered -> alert visible, p50",
            "ms",
            block.sessions.milliseconds_from_answer(),
        ),
        measured("notify_p50", "bare NOTIFY, commit sent -> received, p50", "ms", bare),
        Figure(name="notify_p95", what="  p95", value=bare.percentile(95), unit="ms"),
        Figure(name="sessions", what="sessions, each with its alert", value=written, unit=""),
        Figure(name="achieved_rate", what="achieved rate", value=written / block.seconds, unit="sessions/s"),
    ]


def _cost(spent: Sequence[float | None], options: Options) -> list[Figure]:
    """Of sessions that come one by one, so that each is a generation of its own."""
    seconds = [each for each in spent if each is not None]
    if not seconds:
        return []
    cores = sum(seconds) / (len(seconds) * options.block) * MILLION / SECONDS_A_DAY
    what = "a million such sessions a day would keep busy, listener and its connections"
    return [Figure(name="cores_per_million", what=what, value=cores, unit="cores")]


def _part(name: str, what: str, samples: Samples, block: Block) -> Figure:
    ratio = samples.median / block.bare.milliseconds().median
    return Figure(
        name=name,
        what=what,
        value=samples.median,
        unit="ms",
        spread=samples.quartiles,
        ratio=ratio,
        yardstick="bare NOTIFY round trip",
    )


def _busy_figures(quiet: list[Block], busy: list[Block], options: Options) -> list[Figure]:
    times = together(busy).sessions.milliseconds()
    p95, without = (
        Samples([block.sessions.milliseconds().percentile(95) for block in blocks]) for blocks in (busy, quiet)
    )
    return [
        measured("import_p50", f"beside a COPY of {options.rows:,} sessions, p50", "ms", times),
        compared("import_p95", "  p95 of each turn", "ms", p95, without, to="p95 without import"),
        Figure(name="import_max", what="  max", value=max(times.values), unit="ms"),
        Figure(name="import_sessions", what="  sessions", value=len(times.values), unit=""),
    ]


BENCHMARK = Benchmark(
    name="latency",
    command=command,
    full=Options(rate=50, seconds=30, history=60, rows=200_000, rounds=2),
    quick=Options(rate=50, seconds=5, history=30, rows=20_000, rounds=1),
    measure=measure,
)
