"""Charts of a tutor's trend: where each point lies, so that the template only writes it down."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
from zoneinfo import ZoneInfo

from database.platform import Missing
from database.platform_needs import Feature
from rules.explanation import Explained
from rules.measures import Ratio
from web.queries.alerts.rows import AlertRow
from web.queries.sessions import FLAGGED_BELOW
from web.queries.tutor import TutorOverview
from web.time_zones import in_zone
from web.views.labels import Severity

WIDTH, HEIGHT = 360, 172
_LEFT, _RIGHT, _TOP, _BOTTOM = 26, 350, 24, 146
_TEXT_WIDTH, _TEXT_HEIGHT = 90, 16
_STEPS = (Decimal("0.5"), Decimal(1), Decimal(2))
_MOST_STEPS = 5
_LEAST_PAD = Decimal("0.2")

OpenedOn = Mapping[date, Sequence[AlertRow]]
"""Alerts by the day on which they were triggered."""
NONE_OPENED: OpenedOn = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Guide:
    """A threshold that the values are read against: `low under 6.5`."""

    value: Decimal
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold at its place; its text begins on the left (`start`) or ends on the right (`end`)."""

    y: float
    text: str
    anchor: str

    @property
    def text_at(self) -> float:
        """Where its text begins or ends."""
        return _LEFT + 4 if self.anchor == "start" else _RIGHT


@dataclass(frozen=True, slots=True)
class Day:
    """A day at its place: its value, if it has one, and the alerts that were triggered on it."""

    x: float
    y: float | None
    day: date
    value: Decimal | None
    alerts: Sequence[AlertRow]

    @property
    def severity(self) -> Severity | None:
        """The gravest of the day's alerts."""
        found = {alert.severity for alert in self.alerts}
        return next((severity for severity in Severity if severity in found), None)


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

    `average` is that of the sessions, as everywhere on the page; `average_y` where it lies, None without any.
    """

    key: str
    title: str
    days: tuple[Day, ...]
    lines: tuple[str, ...]
    guides: tuple[Line, ...]
    value_ticks: tuple[Tick, ...]
    day_ticks: tuple[DayTick, ...]
    average: Ratio
    average_y: float | None
    highest_possible: int
    step: float
    """How wide a day is."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM

    @property
    def marks(self) -> tuple[Day, ...]:
        """The days with a value."""
        return tuple(day for day in self.days if day.value is not None)

    @property
    def told(self) -> tuple[Day, ...]:
        """The days of which there is anything to tell."""
        return tuple(day for day in self.days if day.value is not None or day.alerts)

    @property
    def opened(self) -> tuple[Day, ...]:
        """The days with alerts."""
        return tuple(day for day in self.days if day.alerts)

    @property
    def lowest(self) -> Day:
        """The day with the lowest value, the latest of several. Raises ValueError without values."""
        return min(reversed(self.marks), key=_value)

    @property
    def highest(self) -> Day:
        """The day with the highest value, the latest of several. Raises ValueError without values."""
        return max(reversed(self.marks), key=_value)


def _value(day: Day) -> Decimal:
    return Decimal(0) if day.value is None else day.value


def trend_charts(
    tutor: TutorOverview, explained: Sequence[Explained], opened: OpenedOn, missing: Missing
) -> tuple[Chart, ...]:
    """The charts of a tutor's page, with the thresholds that are effective for the tutor."""
    statistics, trend = tutor.statistics, tutor.trend
    low_score = [Guide(FLAGGED_BELOW, f"low under {FLAGGED_BELOW}")]
    words = {"low_engagement": "low under", "high_engagement": "high over"}
    engaged = [
        Guide(each.verdict.threshold, f"{words[each.rule.name]} {each.threshold}")
        for each in explained
        if each.rule.name in words and not each.is_alert and not each.is_off
    ]
    scores = [(day.day, day.score) for day in trend]
    engagement = [(day.day, day.engagement) for day in trend]
    charts = (
        chart("score", "Session score", scores, average=statistics.score.recent, guides=low_score, opened=opened),
        chart(
            "engagement", "Student engagement", engagement, average=statistics.engagement, guides=engaged, opened=opened
        ),
    )
    if missing.of(Feature.FEEDBACK):
        return charts
    ratings = [(day.day, day.rating) for day in trend]
    return (
        *charts,
        chart("rating", "Student rating", ratings, average=statistics.rating, bounds=(1, 5), opened=opened),
    )


def opened_on(tutor: TutorOverview, zone: ZoneInfo) -> OpenedOn:
    """The tutor's alerts, resolved ones included, by the day of the zone on which they were triggered; oldest first."""
    by_day: defaultdict[date, list[AlertRow]] = defaultdict(list)
    for alert in sorted(tutor.triggered_alerts, key=lambda alert: alert.triggered_at):
        by_day[in_zone(alert.triggered_at, zone).date()].append(alert)
    return by_day


def chart(
    key: str,
    title: str,
    values: Sequence[tuple[date, Decimal | None]],
    *,
    average: Ratio,
    bounds: tuple[int, int] = (0, 10),
    guides: Sequence[Guide] = (),
    opened: OpenedOn = NONE_OPENED,
) -> Chart:
    """Places the values of two or more successive days on a scale that fits them, within the bounds.

    The guide that is nearest to the average is always within the scale, others where they happen to be.
    """
    step = (_RIGHT - _LEFT) / (len(values) - 1)
    mean = average.total / average.count if average.count else None
    present = [value for _, value in values if value is not None]
    nearest = min((guide.value for guide in guides), key=lambda value: abs(value - (mean or 0)), default=None)
    scale = scale_of([*present, *(each for each in (mean, nearest) if each is not None and present)], bounds)

    def place(value: Decimal) -> float:
        low, high = scale[0], scale[-1]
        within = min(max(value, low), high)
        return round(float(_BOTTOM - (within - low) / (high - low) * (_BOTTOM - _TOP)), 1)

    days = tuple(
        Day(round(_LEFT + index * step, 1), None if value is None else place(value), day, value, opened.get(day, ()))
        for index, (day, value) in enumerate(values)
    )
    return Chart(
        key=key,
        title=title,
        days=days,
        lines=tuple(_lines(days)),
        guides=tuple(_line_of(each, place(each.value), days) for each in guides if scale[0] <= each.value <= scale[-1]),
        value_ticks=tuple(Tick(place(value), f"{value.normalize():f}") for value in scale),
        day_ticks=_day_ticks([day for day, _ in values], step),
        average=average,
        average_y=place(mean) if mean is not None else None,
        highest_possible=bounds[1],
        step=round(step, 1),
    )


def _line_of(guide: Guide, y: float, days: Sequence[Day]) -> Line:
    """The threshold, its text at the end where fewer values are in the way."""
    behind = [day.x for day in days if day.y is not None and y - _TEXT_HEIGHT < day.y < y + 4]
    on_the_left = sum(x < _LEFT + _TEXT_WIDTH for x in behind)
    on_the_right = sum(x > _RIGHT - _TEXT_WIDTH for x in behind)
    return Line(y, guide.text, "end" if on_the_right < on_the_left else "start")


def scale_of(values: Sequence[Decimal], bounds: tuple[int, int]) -> list[Decimal]:
    """The ticks of a scale for the values, low to high: round numbers, a little beyond them, within the bounds."""
    floor, ceiling = map(Decimal, bounds)
    within = [min(max(value, floor), ceiling) for value in values] or [floor, ceiling]
    pad = max((max(within) - min(within)) / 10, _LEAST_PAD)
    for step in _STEPS:
        low = ((min(within) - pad) / step).to_integral_value(ROUND_FLOOR) * step
        high = ((max(within) + pad) / step).to_integral_value(ROUND_CEILING) * step
        low, high = max(low, floor), min(high, ceiling)
        if (high - low) / step <= _MOST_STEPS:
            break
    return [low + step * index for index in range(int((high - low) / step) + 1)]


def _lines(days: Sequence[Day]) -> Iterator[str]:
    """The `points` of a polyline for each run of two or more days with data."""
    run: list[Day] = []
    for day in days:
        if day.y is not None:
            run.append(day)
            continue
        yield from _line(run)
        run = []
    yield from _line(run)


def _line(run: Sequence[Day]) -> Iterator[str]:
    if len(run) > 1:
        yield " ".join(f"{day.x},{day.y}" for day in run)


def _day_ticks(days: Sequence[date], step: float) -> tuple[DayTick, ...]:
    middle = len(days) // 2
    return (
        DayTick(_LEFT, days[0], "start"),
        DayTick(round(_LEFT + middle * step, 1), days[middle], "middle"),
        DayTick(_RIGHT, days[-1], "end"),
    )
