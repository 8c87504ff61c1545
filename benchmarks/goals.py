"""What Tutorwatch means to reach, and whether a run of all benchmarks did: a line per goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Figure, Report, number


@dataclass(frozen=True)
class Limit:
    """A measurement that shows what stands in the way of a goal, or how much of the way."""

    what: str
    parts: tuple[str, ...]
    """Figures (`benchmark.name`) that add up to it."""
    is_bound: bool = True
    """Whether nothing could be better than this; else it is said for comparison."""


def _limit(what: str, *parts: str, is_bound: bool = True) -> Limit:
    return Limit(what, parts, is_bound)


@dataclass(frozen=True)
class Goal:
    """A figure of a benchmark, and the most or the least that it should be: its ratio, or its value."""

    row: int
    what: str
    benchmark: str
    figure: str
    most: float | None = None
    least: float | None = None
    of: str = "ratio"
    limits: tuple[Limit, ...] = ()
    """Measured in the same run, and told where the goal is missed; those that would allow it are said to do so."""

    def found(self, figure: Figure) -> float | None:
        """The ratio or the value."""
        return figure.ratio if self.of == "ratio" else figure.value

    def is_met(self, found: float) -> bool:
        """Whether that is good enough."""
        return (self.most is None or found <= self.most) and (self.least is None or found >= self.least)


# fmt: off
GOALS = (
    Goal(1, "insert of a session per commit, to without triggers", "writer", "insert_one_with", most=1.10, limits=(
        _limit("a trigger that does nothing", "writer.insert_one_empty"),
        _limit("one that just records", "writer.insert_one_records"),
        _limit("one that records and notifies", "writer.insert_one_wakes"),
        _limit("the least that records under a key, is guarded, and notifies at commit", "writer.insert_one_least"))),
    Goal(2, "16 writers at once, a listener at work, to without", "writer", "tps_listener", least=0.90, limits=(
        _limit("no listener, and a trigger that does nothing", "writer.tps_empty"),
        _limit("one that just records", "writer.tps_records"),
        _limit("a row trigger that notifies", "writer.tps_notify", is_bound=False),
        _limit("our triggers without a listener", "writer.tps_with"),
        _limit("the processors' time that the listener leaves to the writers", "writer.tps_left"))),
    Goal(3, "COPY, to without triggers", "writer", "copy_with", most=1.10),
    Goal(3, "INSERT of many rows, to without triggers", "writer", "insert_many_with", most=1.20),
    Goal(4, "commit -> alert, p50, to a bare NOTIFY", "latency", "alert_p50", most=4, limits=(
        _limit("as many statements that ask for nothing", "latency.empty_round"),
        _limit("one of them the statistics", "latency.reading_round"))),
    Goal(4, "  p99, to the median NOTIFY", "latency", "alert_p99", most=10, limits=(
        _limit("the bare NOTIFY's own p99", "latency.notify_p99"),
        _limit("that of as many statements that ask for nothing", "latency.empty_round_p99"),
        _limit("one of them the statistics", "latency.reading_round_p99"))),
    Goal(5, "  p95 beside an import, to without", "latency", "import_p95", most=5, limits=(
        _limit("a bare NOTIFY beside it", "latency.import_bare_p95"),)),
    Goal(6, "drain of a change of every tutor, to a plain join", "drain", "drain_seconds", most=2, limits=(
        _limit("the statistics' query alone, and just writing the results",
               "drain.statistics_seconds", "drain.writing_seconds"),)),
    Goal(7, "changes of as many tutors, to the better job queue", "peers", "changes_of_many_tutorwatch", least=3,
         limits=(
        _limit("by the processors' time, of which it leaves some idle", "peers.changes_of_many_per_processor",
               is_bound=False),)),
    Goal(7, "changes of few tutors, to the better job queue", "peers", "changes_of_few_tutorwatch", least=30),
    Goal(8, "two listeners, to one", "drain", "drain_two_rate", least=1.6, limits=(
        _limit("by the cores that one leaves idle", "drain.drain_cores_busy"),
        _limit("the statistics' query alone, on two connections at once", "drain.statistics_two_rate"))),
    Goal(9, "backfill, to a plain join", "backfill", "backfill_to_plain_join", most=2.5, limits=(
        _limit("the statistics' query alone, and just writing the results",
               "backfill.statistics_seconds", "backfill.writing_seconds"),)),
    Goal(9, "backfill, to a loop tutor by tutor", "backfill", "backfill_to_loop", most=0.25),
    Goal(10, "a generation in the largest tables, to the smallest", "scale", "generation_largest", most=1.3),
    Goal(11, "others' alerts beside a giant, p95, to at rest", "scale", "giant_p95", most=1.1, limits=(
        _limit("a bare NOTIFY beside it", "scale.giant_bare_p95"),
        _limit("what a generation of the giant takes, each second", "scale.giant_to_rest"))),
    Goal(12, "listen at rest, of one core (%)", "idle", "listen_processor", most=0.5, of="value"),
    Goal(12, "  statements a minute", "idle", "listen_statements", most=30, of="value"),
    Goal(12, "  memory (MiB)", "idle", "listen_memory", most=80, of="value"),
    Goal(12, "run at rest, of one core (%)", "idle", "run_processor", most=0.5, of="value"),
    Goal(12, "  statements a minute", "idle", "run_statements", most=30, of="value"),
    Goal(12, "  memory (MiB)", "idle", "run_memory", most=130, of="value"),
    Goal(13, "critical alerts' query, p99, to SELECT 1", "dashboard", "summary_p99", most=5, limits=(
        _limit("just counting them", "dashboard.count_p99"),)),
    Goal(14, "/ signed in and warm, to a constant page", "dashboard", "page_warm_rate", least=0.5, limits=(
        _limit("a handler that only looks the sign-in up", "dashboard.sign_in_rate"),
        _limit("/healthz, which asks nobody", "dashboard.healthz_rate"))),
    Goal(15, "tutorwatch --help (s)", "idle", "help_seconds", most=0.4, of="value", limits=(
        _limit("to python -c pass on the same machine", "idle.help_seconds", is_bound=False),)),
    Goal(15, "tutorwatch listen, until it listens (s)", "idle", "listen_seconds", most=1.5, of="value", limits=(
        _limit("to python -c pass on the same machine", "idle.listen_seconds", is_bound=False),)),
)
# fmt: on

HEADINGS = ("row", "goal", "to reach", "found", "")


def judged(reports: Sequence[Report]) -> Sequence[Sequence[str]]:
    """The lines of the goals that these reports should have a figure for."""
    measured = {report.benchmark for report in reports}
    figures = {f"{report.benchmark}.{figure.name}": figure for report in reports for figure in report.figures}
    return [_line(goal, figures) for goal in GOALS if goal.benchmark in measured]


def _line(goal: Goal, figures: Mapping[str, Figure]) -> Sequence[str]:
    figure = figures.get(f"{goal.benchmark}.{goal.figure}")
    found = goal.found(figure) if figure else None
    unit = " x" if goal.of == "ratio" else ""
    bound = f"≤ {number(goal.most)}" if goal.most is not None else f"≥ {number(goal.least or 0)}"
    if found is None:
        return (str(goal.row), goal.what, bound + unit, "", "not measured")
    told = [] if goal.is_met(found) else [_told(goal, limit, figures) for limit in goal.limits]
    verdict = "; ".join(["met" if goal.is_met(found) else "not met", *filter(None, told)])
    return (str(goal.row), goal.what, bound + unit, number(found) + unit, verdict)


def _told(goal: Goal, limit: Limit, figures: Mapping[str, Figure]) -> str:
    """What the limit is; nothing if it wasn't measured."""
    ratios = [figures[part].ratio for part in limit.parts if part in figures]
    known = [ratio for ratio in ratios if ratio is not None]
    if len(known) < len(limit.parts):
        return ""
    parts = f"{' + '.join(map(number, known))} = " if len(known) > 1 else ""
    allows = ", not in the way" if limit.is_bound and goal.is_met(sum(known)) else ""
    return f"{limit.what}: {parts}{number(sum(known))} x{allows}"
