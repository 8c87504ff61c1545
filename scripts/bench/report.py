"""What a benchmark found, as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.bench.samples import Samples, paired_ratios


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of a report. `name` is for programs and stays the same, `what` is for people."""

    name: str
    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    """The quartiles of the measurements behind the value."""
    ratio: float | None = None
    """How many times the yardstick's value, which was measured in turns with it."""
    ratio_spread: tuple[float, float] | None = None
    """The quartiles of the ratios of neighbouring measurements."""
    yardstick: str | None = None


@dataclass(frozen=True)
class Report:
    """The figures of one benchmark, what it was asked for, and what a reader should know."""

    benchmark: str
    options: Mapping[str, object]
    figures: Sequence[Figure]
    notes: Sequence[str] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return asdict(self)


def compared(name: str, what: str, unit: str, samples: Samples, yardstick: Samples, *, to: str) -> Figure:
    """The median of `samples`, and its ratio to a yardstick that was measured in turns with it.

    The ratio is the median of the ratios of neighbours, not the ratio of the medians: over minutes the machine
    gets slower and faster, which neighbours share.
    """
    ratios = paired_ratios(samples, yardstick)
    return Figure(
        name=name,
        what=what,
        value=samples.median,
        unit=unit,
        spread=samples.quartiles,
        ratio=ratios.median,
        ratio_spread=ratios.quartiles,
        yardstick=to,
    )


def measured(name: str, what: str, unit: str, samples: Samples) -> Figure:
    """The median of `samples`, without a yardstick."""
    return Figure(name=name, what=what, value=samples.median, unit=unit, spread=samples.quartiles)


HEADINGS = ("what", "value", "middle half", "ratio", "middle half", "yardstick")


def as_table(report: Report) -> str:
    """The report as aligned columns, its notes below."""
    rows = [HEADINGS, *map(_cells, report.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    rule = "  ".join("-" * width for width in widths)
    title = f"{report.benchmark} ({_options(report)})"
    return "\n".join([title, "", lines[0], rule, *lines[1:], "", *(f"- {note}" for note in report.notes)])


def as_markdown(report: Report) -> str:
    """The report as a section with a table, its notes below. What stands indented belongs to the line above."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 2), "---"), *map(_cells, report.figures)]
    table = [f"| {' | '.join(_for_markdown(cell) for cell in row)} |" for row in rows]
    notes = [f"- {note}" for note in report.notes]
    return "\n".join([f"## {report.benchmark}", "", _options(report), "", *table, "", *notes])


def _for_markdown(cell: str) -> str:
    belongs = cell.startswith("  ")
    return ("… " if belongs else "") + cell.strip().replace("|", "\\|").replace("<", "&lt;")


def _options(report: Report) -> str:
    return ", ".join(f"{name} {value}" for name, value in report.options.items())


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.what,
        f"{_number(figure.value)} {figure.unit}".strip(),
        _range(figure.spread),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        _range(figure.ratio_spread),
        figure.yardstick or "",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = (
        cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *numbers, last]).rstrip()


def _range(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{_number(limits[0])} - {_number(limits[1])}"


def _number(value: float) -> str:
    """Three significant digits, and all digits before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
