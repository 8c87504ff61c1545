"""How soon after a session's commit its alert is there for others to see, and how soon while an import runs.

The yardstick is the least that any such design must cost: a notification from one connection to another,
sent half-way between two sessions. Blocks of sessions beside an import take turns with blocks without, and those, in
shorter turns, with transactions of as many statements that ask for nothing, or for the statistics only.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import typer

from benchmarks.alert_latency import Block, Writer, together, tutors_for
from benchmarks.benchmark import Benchmark, JsonFile, Quick
from benchmarks.consumption import difference, listener_processor_seconds
from benchmarks.databases import filled_database
from benchmarks.dataset import Size
from benchmarks.importing import importing
from benchmarks.listening import listener
from benchmarks.progress import say
from benchmarks.report import Figure, Report, compared, measured
from benchmarks.rounds import count_statements, empty_rounds, reading_rounds
from benchmarks.samples import Samples
from benchmarks.samples import together as all_of
from benchmarks.settling import settle
from benchmarks.turns import in_turns
from scripts.errors import CommandError

MILLION, SECONDS_A_DAY = 1_000_000, 86_400
SLICES = 2
"""A turn without an import is cut into so many, in turns with what bounds it."""
ROUNDS = 75
"""So many transactions of each kind for a slice, or as many as it has sessions."""


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
    def slice(self) -> int:
        """How many sessions are written at a time."""
        return max(1, round(self.rate * self.seconds / self.rounds / SLICES))

    @property
    def block(self) -> int:
        """How many sessions are written in one turn."""
        return SLICES * self.slice


def command(
    rate: Annotated[float | None, typer.Option(min=0.1, help="Sessions a second [50].")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="For so long [25].")] = None,
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
            quiet = _Quiet(url, writer, process.process_id, options)
            writer.warm_up()
            say(f"Writing {sessions} sessions, in turns without and beside a COPY of {options.rows:,}")
            busy = []
            for _ in range(options.rounds):
                settle(url)
                quiet.write_block()
                busy.append(_write_beside_import(url, writer, options))
        figures = [
            *_quiet_figures(quiet),
            *_cost(quiet, options),
            *_limits(quiet),
            *_busy_figures(quiet.blocks, busy, options.rows),
        ]
        return Report("latency", asdict(options), figures, _NOTES)


@dataclass
class _Quiet:
    """The sessions that are written without an import, and what bounds them, measured in turns with them."""

    url: str
    writer: Writer
    listener_id: int
    options: Options
    blocks: list[Block] = field(default_factory=list)
    spent: list[float | None] = field(default_factory=list)
    """Seconds of processors that each slice cost the listener and its connections."""
    rounds: dict[str, list[Samples]] = field(default_factory=lambda: {"empty": [], "reading": []})

    def __post_init__(self) -> None:
        self.statements = asyncio.run(count_statements(self.url, self.writer.tutors[-1]))

    def write_block(self) -> None:
        """One turn."""
        slices: list[Block] = []
        rounds, rate = min(ROUNDS, self.options.slice), self.options.rate

        def write() -> float:
            before = listener_processor_seconds(self.listener_id, self.url)
            slices.append(self.writer.write(self.options.slice))
            self.spent.append(difference(before, listener_processor_seconds(self.listener_id, self.url)))
            return slices[-1].sessions.milliseconds().median

        def ask_nothing() -> float:
            return self._note("empty", empty_rounds(self.url, self.statements, rounds=rounds, rate=rate))

        def read() -> float:
            tutors = self.writer.tutors
            return self._note("reading", reading_rounds(self.url, self.statements, tutors, rounds=rounds, rate=rate))

        # All of them are warm: no round to warm up.
        in_turns({"write": write, "empty": ask_nothing, "reading": read}, rounds=SLICES, warm_up=lambda: None)
        self.blocks.append(together(slices))

    def _note(self, kind: str, asking: Coroutine[Any, Any, Samples]) -> float:
        self.rounds[kind].append(asyncio.run(asking))
        return self.rounds[kind][-1].median


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
    "the empty transaction is sent as the listener sends its own, as often a second: what the way costs, whatever is"
    " asked",
    "before each turn without an import the server has vacuumed, and written to the disk what the import left",
    "beside an import: from the first row of a COPY, whose client shares the cores, until its tutors are generated",
)


def _quiet_figures(quiet: _Quiet) -> list[Figure]:
    block = together(quiet.blocks)
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
        *(_to_median(f"alert_p{percent}", f"  p{percent}", alerts.percentile(percent), bare) for percent in (95, 99)),
        Figure(name="alert_max", what="  max", value=max(alerts.values), unit="ms"),
        measured(
            "alert_from_answer_p50",
            "commit answered -> alert visible, p50",
            "ms",
            block.sessions.milliseconds_from_answer(),
        ),
        measured("notify_p50", "bare NOTIFY, commit sent -> received, p50", "ms", bare),
        Figure(name="notify_p95", what="  p95", value=bare.percentile(95), unit="ms"),
        _to_median("notify_p99", "  p99", bare.percentile(99), bare),
        Figure(name="sessions", what="sessions, each with its alert", value=written, unit=""),
        Figure(name="achieved_rate", what="achieved rate", value=written / block.seconds, unit="sessions/s"),
    ]


def _cost(quiet: _Quiet, options: Options) -> list[Figure]:
    """Of sessions that come one by one, so that each is a generation of its own."""
    seconds = [each for each in quiet.spent if each is not None]
    if not seconds:
        return []
    cores = sum(seconds) / (len(seconds) * options.slice) * MILLION / SECONDS_A_DAY
    what = "a million such sessions a day would keep busy, listener and its connections"
    return [Figure(name="cores_per_million", what=what, value=cores, unit="cores")]


def _limits(quiet: _Quiet) -> list[Figure]:
    bare = together(quiet.blocks).bare.milliseconds()
    figures = []
    for name, what in (
        ("empty", f"a transaction of {quiet.statements} statements that ask for nothing, p50"),
        ("reading", "one of which reads a tutor's statistics instead, p50"),
    ):
        found = all_of(quiet.rounds[name])
        figures += [
            Figure(
                name=f"{name}_round",
                what=what,
                value=found.median,
                unit="ms",
                spread=found.quartiles,
                ratio=found.median / bare.median,
                yardstick="bare NOTIFY round trip",
            ),
            _to_median(f"{name}_round_p99", "  p99", found.percentile(99), bare),
        ]
    return figures


def _to_median(name: str, what: str, milliseconds: float, bare: Samples) -> Figure:
    return Figure(
        name=name,
        what=what,
        value=milliseconds,
        unit="ms",
        ratio=milliseconds / bare.median,
        yardstick="bare NOTIFY round trip, median",
    )


def _busy_figures(quiet: Sequence[Block], busy: Sequence[Block], rows: int) -> list[Figure]:
    times = together(busy).sessions.milliseconds()
    p95, without = (
        Samples([block.sessions.milliseconds().percentile(95) for block in blocks]) for blocks in (busy, quiet)
    )
    bare, bare_without = (
        Samples([block.bare.milliseconds().percentile(95) for block in blocks]) for blocks in (busy, quiet)
    )
    to = "p95 without import"
    return [
        measured("import_p50", f"beside a COPY of {rows:,} sessions, p50", "ms", times),
        compared("import_p95", "  p95 of each turn", "ms", p95, without, to=to),
        Figure(name="import_max", what="  max", value=max(times.values), unit="ms"),
        compared("import_bare_p95", "  bare NOTIFY beside it, p95 of each turn", "ms", bare, bare_without, to=to),
        Figure(name="import_sessions", what="  sessions", value=len(times.values), unit=""),
    ]


BENCHMARK = Benchmark(
    name="latency",
    command=command,
    full=Options(rate=50, seconds=25, history=60, rows=200_000, rounds=2),
    quick=Options(rate=50, seconds=4, history=30, rows=20_000, rounds=1),
    measure=measure,
)
