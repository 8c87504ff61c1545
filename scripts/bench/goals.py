"""What Tutorwatch means to reach, and whether a run of all benchmarks did: a line per goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.bench.report import Figure, Report, number


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
    limit: tuple[str, str, str] | None = None
    """A figure that shows what stands in the way, by benchmark and name, and what it is."""

    def found(self, figure: Figure) -> float | None:
        """The ratio or the value."""
        return figure.ratio if self.of == "ratio" else figure.value

    def is_met(self, found: float) -> bool:
        """Whether that is good enough."""
        return (self.most is None or found <= self.most) and (self.least is None or found >= self.least)


# fmt: off
GOALS = (
    Goal(1, "insert of a session per commit, to without triggers", "writer", "insert_one_with", most=1.10,
         limit=("writer", "insert_one_records", "a trigger that just records")),
    Goal(2, "16 writers at once, a listener at work, to without", "writer", "tps_listener", least=0.90,
         limit=("writer", "tps_records", "a trigger that just records, no listener")),
    Goal(3, "COPY, to without triggers", "writer", "copy_with", most=1.10),
    Goal(3, "INSERT of many rows, to without triggers", "writer", "insert_many_with", most=1.20),
    Goal(4, "commit -> alert, p50, to a bare NOTIFY", "latency", "alert_p50", most=4,
         limit=("latency", "reading_round", "as many statements, all empty but one: the statistics")),
    Goal(4, "  p99, to the median NOTIFY", "latency", "alert_p99", most=10,
         limit=("latency", "reading_round", "as many statements, all empty but one: the statistics")),
    Goal(5, "  p95 beside an import, to without", "latency", "import_p95", most=5),
    Goal(6, "drain of a change of every tutor, to a plain join", "drain", "drain_seconds", most=2,
         limit=("backfill", "statistics_seconds", "the statistics' query alone, for a tenth of the tutors")),
    Goal(7, "changes of as many tutors, to the better job queue", "peers", "changes_of_many_tutorwatch", least=3,
         limit=("peers", "changes_of_many_per_processor", "by the processors' time, of which it leaves some idle")),
    Goal(7, "changes of few tutors, to the better job queue", "peers", "changes_of_few_tutorwatch", least=30),
    Goal(8, "two listeners, to one", "drain", "drain_two_rate", least=1.6,
         limit=("drain", "drain_cores_busy", "at most, by the cores that one leaves idle")),
    Goal(9, "backfill, to a plain join", "backfill", "backfill_to_plain_join", most=2.5,
         limit=("backfill", "statistics_seconds", "the statistics' query alone")),
    Goal(9, "backfill, to a loop tutor by tutor", "backfill", "backfill_to_loop", most=0.25),
    Goal(10, "a generation in the largest tables, to the smallest", "scale", "generation_largest", most=1.3),
    Goal(11, "others' alerts beside a giant, p95, to at rest", "scale", "giant_p95", most=1.1,
         limit=("scale", "giant_bare_p95", "a bare NOTIFY beside it")),
    Goal(12, "listen at rest, of one core (%)", "idle", "listen_processor", most=0.5, of="value"),
    Goal(12, "  statements a minute", "idle", "listen_statements", most=30, of="value"),
    Goal(12, "  memory (MiB)", "idle", "listen_memory", most=80, of="value"),
    Goal(12, "run at rest, of one core (%)", "idle", "run_processor", most=0.5, of="value"),
    Goal(12, "  statements a minute", "idle", "run_statements", most=30, of="value"),
    Goal(12, "  memory (MiB)", "idle", "run_memory", most=130, of="value"),
    Goal(13, "critical alerts' query, p99, to SELECT 1", "dashboard", "summary_p99", most=5,
         limit=("dashboard", "count_p99", "just counting them")),
    Goal(14, "/ signed in and warm, to a constant page", "dashboard", "page_warm_rate", least=0.5,
         limit=("dashboard", "healthz_rate", "/healthz, which asks nobody")),
    Goal(15, "tutorwatch --help (s)", "idle", "help_seconds", most=0.4, of="value"),
    Goal(15, "tutorwatch listen, until it listens (s)", "idle", "listen_seconds", most=1.5, of="value"),
)
# fmt: on

HEADINGS = ("row", "goal", "to reach", "found", "")


def judged(reports: Sequence[Report]) -> Sequence[Sequence[str]]:
    """The goals' lines, as far as these reports have their figures."""
    figures = {(report.benchmark, figure.name): figure for report in reports for figure in report.figures}
    lines = []
    for goal in GOALS:
        figure = figures.get((goal.benchmark, goal.figure))
        found = goal.found(figure) if figure else None
        if found is not None:
            bound = f"≤ {number(goal.most)}" if goal.most is not None else f"≥ {number(goal.least or 0)}"
            unit = " x" if goal.of == "ratio" else ""
            verdict = "met" if goal.is_met(found) else f"not met{_limit(goal, figures)}"
            lines.append((str(goal.row), goal.what, bound + unit, number(found) + unit, verdict))
    return lines


def _limit(goal: Goal, figures: Mapping[tuple[str, str], Figure]) -> str:
    if goal.limit is None:
        return ""
    benchmark, name, what = goal.limit
    figure = figures.get((benchmark, name))
    return f"; {what}: {number(figure.ratio)} x" if figure and figure.ratio is not None else ""
