"""Reports as tables for a terminal, as Markdown, and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Report, Result

_HEADINGS = ("what", "result", "interquartile range", "ratio", "interquartile range", "baseline", "goal")


def print_report(console: Console, report: Report) -> None:
    """Prints the report's table, and its notes below."""
    table = Table(title=f"{report.benchmark} ({_sizes(report)})", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in ("what", "baseline", "goal") else "right")
    for result in report.results:
        table.add_row(*_cells(result))
    console.print(table)
    for note in report.notes:
        console.print(f"- {note}", highlight=False, markup=False)


def as_json(machine: str, reports: Sequence[Report]) -> str:
    """The reports for programs."""
    return json.dumps({"machine": machine, "benchmarks": [asdict(report) for report in reports]}, indent=2)


def as_markdown(machine: str, reports: Sequence[Report], *, version: str, quick: bool) -> str:
    """The reports as sections of benchmarks.md, each with its date, version and machine."""
    how = "`python -m benchmarks --quick` (too small to mean anything)" if quick else "`python -m benchmarks`"
    about = f"Measured on {datetime.now(UTC):%Y-%m-%d} by {how} of version {version}. {machine}."
    return "\n\n".join([about, *map(_section, reports)]) + "\n"


def _section(report: Report) -> str:
    lines = [_HEADINGS, ("---", "---:", "---:", "---:", "---:", "---", "---"), *map(_cells, report.results)]
    table = "\n".join(f"| {' | '.join(cell.strip().replace('|', '/') for cell in line)} |" for line in lines)
    notes = "\n".join(f"- {note}" for note in report.notes)
    return f"### {report.benchmark}\n\n{_sizes(report)}\n\n{table}\n\n{notes}".rstrip()


def _sizes(report: Report) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report.sizes.items())


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.what,
        f"{number(result.value)} {result.unit}".strip(),
        _range(result.spread),
        "" if result.ratio is None else f"{result.ratio:.2f} x",
        _range(result.ratio_spread),
        result.baseline or "",
        _goal(result),
    )


def _goal(result: Result) -> str:
    if result.goal is None:
        return ""
    bound = f"≤ {result.goal.most:g}" if result.goal.most is not None else f"≥ {result.goal.least:g}"
    return f"{bound}: {'met' if result.meets_goal else 'not met'}"


def _range(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{number(limits[0])} - {number(limits[1])}"


def number(value: float) -> str:
    """The value with three significant digits, and all digits before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
