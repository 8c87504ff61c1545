"""Where the marks of a trend chart go; the template draws them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

WIDTH, HEIGHT = 360, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 26, 350, 12, 134


@dataclass(frozen=True, slots=True)
class Mark:
    """A day's value at its place."""

    x: float
    y: float
    day: date
    value: Decimal


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class DayTick:
    """A day on the horizontal axis; `anchor` is SVG's text-anchor."""

    at: float
    day: date
    anchor: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One statistic over successive days. `lines` joins days that follow each other: a day without data is a gap.

    `mean_y` is where the average of the days' values lies, None without any.
    """

    key: str
    title: str
    marks: tuple[Mark, ...]
    lines: tuple[str, ...]
    value_ticks: tuple[Tick, ...]
    day_ticks: tuple[DayTick, ...]
    mean: Decimal | None
    mean_y: float | None
    top: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    bottom: int = _BOTTOM

    @property
    def lowest(self) -> Mark:
        """The mark with the lowest value, the latest of several. Raises ValueError without marks."""
        return min(reversed(self.marks), key=lambda mark: mark.value)

    @property
    def highest(self) -> Mark:
        """The mark with the highest value, the latest of several. Raises ValueError without marks."""
        return max(reversed(self.marks), key=lambda mark: mark.value)


def chart(key: str, title: str, values: Sequence[tuple[date, Decimal | None]], *, scale: Sequence[int]) -> Chart:
    """Places the values of two or more successive days on a scale, given by its ticks from low to high."""
    low, high = scale[0], scale[-1]
    step = (_RIGHT - _LEFT) / (len(values) - 1)

    def place(value: Decimal) -> float:
        within = min(max(float(value), low), high)
        return round(_BOTTOM - (within - low) / (high - low) * (_BOTTOM - _TOP), 1)

    marks = [
        Mark(round(_LEFT + index * step, 1), place(value), day, value) if value is not None else None
        for index, (day, value) in enumerate(values)
    ]
    present = tuple(mark for mark in marks if mark)
    mean = sum((mark.value for mark in present), Decimal(0)) / len(present) if present else None
    return Chart(
        key=key,
        title=title,
        marks=present,
        lines=tuple(_lines(marks)),
        value_ticks=tuple(Tick(place(Decimal(value)), str(value)) for value in scale),
        day_ticks=_day_ticks([day for day, _ in values], step),
        mean=mean,
        mean_y=place(mean) if mean is not None else None,
        top=high,
    )


def _lines(marks: Sequence[Mark | None]) -> Iterator[str]:
    """The `points` of a polyline for each run of two or more days with data."""
    run: list[Mark] = []
    for mark in (*marks, None):
        if mark:
            run.append(mark)
            continue
        if len(run) > 1:
            yield " ".join(f"{point.x},{point.y}" for point in run)
        run = []


def _day_ticks(days: Sequence[date], step: float) -> tuple[DayTick, ...]:
    middle = len(days) // 2
    return (
        DayTick(_LEFT, days[0], "start"),
        DayTick(round(_LEFT + middle * step, 1), days[middle], "middle"),
        DayTick(_RIGHT, days[-1], "end"),
    )
