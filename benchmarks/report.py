"""What a benchmark found, as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.samples import Samples, paired_ratios


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
    title = f"{report.benchmark} ({_options(report)})"
    notes = [f"- {note}" for note in report.notes]
    return "\n".join([title, "", aligned(HEADINGS, [_cells(figure) for figure in report.figures]), "", *notes])


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: the first and the last column to the left, those between to the right."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([_line(headings, widths), rule, *(_line(row, widths) for row in rows)])


def as_markdown(report: Report) -> str:
    """The report as a section with a table, its notes below. What stands indented belongs to the line above."""
    table = markdown_table(HEADINGS, [_cells(figure) for figure in report.figures])
    notes = [f"- {note}" for note in report.notes]
    return "\n".join([f"## {report.benchmark}", "", _options(report), "", table, "", *notes])


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same, in Markdown."""
    lines = [headings, ("---", *["---:"] * (len(headings) - 2), "---"), *rows]
    return "\n".join(f"| {' | '.join(_for_markdown(cell) for cell in line)} |" for line in lines)


def _for_markdown(cell: str) -> str:
    belongs = cell.startswith("  ")
    return ("… " if belongs else "") + cell.strip().replace("|", "\\|").replace("<", "&lt;")


def _options(report: Report) -> str:
    return ", ".join(f"{name} {value}" for name, value in report.options.items())


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.what,
        f"{number(figure.value)} {figure.unit}".strip(),
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
    return "" if limits is None else f"{number(limits[0])} - {number(limits[1])}"


def number(value: float) -> str:
    """Three significant digits, and all digits before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
