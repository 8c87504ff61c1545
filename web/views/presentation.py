"""How values read on a page: instants, numbers and closed sets in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from database.platform import Missing
from database.platform_needs import Feature
from rules.measures import Ratio, plural, round_half_up
from rules.registry import RULES
from rules.rule import Tells
from web.http.paths import path_part
from web.queries.evidence import EvidenceSession
from web.queries.paging import Page
from web.queries.platform import Compared
from web.queries.sessions import FLAGGED_BELOW, HIGH_FROM, SessionRow
from web.time_zones import abbreviation, in_zone
from web.views.labels import METRIC_LABELS, label

P = ParamSpec("P")
T = TypeVar("T")

NOTHING = "\N{EN DASH}"
"""What stands where a number isn't known."""

MOST_PLACES = 5
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_JUST_NOW = timedelta(seconds=10)
_RELATIVE_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Trend:
    """How a statistic moved: `direction` is up, down or level; `is_better` is None where it didn't move."""

    direction: str
    change: str
    before: str
    is_better: bool | None


def register(environment: Environment) -> None:
    """Gives the templates their filters."""
    environment.filters.update(
        ago=for_viewer(ago),
        amount=amount,
        average=average,
        average_score=average_score,
        band=band,
        browser=browser,
        clock=for_viewer(clock),
        day=for_viewer(day),
        metrics=metrics,
        in_short=in_short,
        iso=iso,
        label=label,
        moment=for_viewer(moment),
        path_part=path_part,
        percent=percent,
        plural=plural,
        session_outcome=session_outcome,
        share=share,
        telling=telling,
        with_code=with_code,
        all_without=all_without,
        without=without,
    )
    environment.globals.update(
        Feature=Feature,
        nothing=NOTHING,
        score_trend=score_trend,
        share_trend=share_trend,
        count_trend=count_trend,
    )


def for_viewer(function: Callable[Concatenate[ZoneInfo, P], T]) -> Callable[Concatenate[Context, P], T]:
    """The function as a filter of templates, with the zone of whoever reads the page."""

    def with_zone(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(context["zone"], *args, **kwargs)

    return pass_context(with_zone)


def ago(zone: ZoneInfo, instant: datetime, now: datetime) -> str:
    """How long ago, as `app.js` counts it on: `12 seconds ago`; beyond 30 days and ahead of now, the day."""
    passed = now - instant
    if passed > _RELATIVE_FOR or passed < -timedelta(minutes=1):
        return day(zone, instant, now)
    if passed < _JUST_NOW:
        return "just now"
    seconds = int(passed.total_seconds())
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    return f"{plural(seconds // size, unit)} ago"


def day(zone: ZoneInfo, when: datetime | date, now: datetime) -> str:
    """The day of an instant, or a day as it is: `18 Nov`, with the year where it isn't this one."""
    local = in_zone(when, zone) if isinstance(when, datetime) else when
    text = f"{local.day} {_MONTHS[local.month - 1]}"
    return text if local.year == in_zone(now, zone).year else f"{text} {local.year}"


def moment(zone: ZoneInfo, instant: datetime) -> str:
    """`18 Nov 2026, 14:02 CET`."""
    local = in_zone(instant, zone)
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {clock(zone, instant)}"


def clock(zone: ZoneInfo, instant: datetime, *, seconds: bool = False) -> str:
    """`14:02 CET`."""
    local = in_zone(instant, zone)
    return f"{local:%H:%M:%S} {abbreviation(local)}" if seconds else f"{local:%H:%M} {abbreviation(local)}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def iso(instant: datetime) -> str:
    """An instant for a `datetime` attribute."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def with_code(message: str) -> Markup:
    """A message as HTML: what stands in backticks is code."""
    words, *quoted = message.split("`")
    parts = [escape(words)]
    for index, part in enumerate(quoted):
        parts.append(Markup("<code>{}</code>").format(part) if index % 2 == 0 else escape(part))
    return Markup("").join(parts)


_WITHOUT = {
    Feature.COACHING_NOTES: "coaching notes are not kept",
    Feature.SCREEN_METRICS: "what was on the screen is not shown",
    Feature.FEEDBACK: "students' ratings and feedback are not shown",
    Feature.SUBJECTS: "subjects are not shown",
    Feature.MEMBER_SINCE: "since when somebody has been a tutor is not shown",
    Feature.PREFERRED_NAME: "people are shown by their official names",
    Feature.SESSION_PAGE: "a session's page does without it",
}


def without(missing: Missing, feature: Feature) -> str:
    """What can't be done without something of the platform's, and why, as a sentence; nothing where it can."""
    found = missing.of(feature)
    return f"In the platform's database {', '.join(found.why)}: {_WITHOUT[feature]}." if found else ""


def all_without(missing: Missing) -> list[str]:
    """The same of all that is missing."""
    return [without(missing, each.feature) for each in missing.features] + [f"{label}." for label in missing.labels]


def amount(value: Decimal | None, places: int = 1) -> str:
    """A number rounded half up, or a dash."""
    return NOTHING if value is None else f"{round_half_up(value, places):,f}"


def average(ratio: Ratio, places: int = 1) -> str:
    """An average rounded half up, or a dash."""
    return str(ratio.rounded(places)) if ratio.count else NOTHING


def average_score(value: Decimal | None) -> str:
    """An average score with one decimal, and with more where rounding would hide that it is under 6.5: `6.47`."""
    if value is None or value >= FLAGGED_BELOW:
        return amount(value)
    shown = (round_half_up(value, places) for places in range(1, MOST_PLACES))
    return str(next((rounded for rounded in shown if rounded < FLAGGED_BELOW), f"under {FLAGGED_BELOW}"))


def place_in_list(before: int, page: Page[Any, Any], total: int, *, is_more: bool = False) -> str | None:
    """Which rows of a list a page shows: `51-100 of 4,004`, `51-100 of 10,000+`; None where it shows none."""
    if not page.rows:
        return None
    return f"{before + 1:,}-{before + len(page.rows):,} of {total:,}{'+' if is_more else ''}"


def percent(fraction: Decimal | None, places: int = 0) -> str:
    """A fraction as a percentage rounded half up: `44%`."""
    return NOTHING if fraction is None else f"{round_half_up(fraction * 100, places)}%"


def share(ratio: Ratio, places: int = 0) -> str:
    """A part of a whole as a percentage rounded half up, or a dash."""
    return percent(ratio.total / ratio.count, places) if ratio.count else NOTHING


def band(score: Decimal | None) -> str:
    """Where a score lies: `low` (flagged), `high`, or nothing in particular."""
    if score is None:
        return ""
    if score < FLAGGED_BELOW:
        return "low"
    return "high" if score >= HIGH_FROM else ""


_BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "Chrome": "Chrome",
    "CriOS": "Chrome",
    "Safari": "Safari",
}
"""What is in the names that browsers give themselves; whoever comes first, for most claim to be the later ones, too."""
_SYSTEMS = {
    "iPhone": "an iPhone",
    "iPad": "an iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Macintosh": "a Mac",
    "Linux": "Linux",
}


def browser(agent: str | None) -> str:
    """What a browser calls itself, as people know it: `Firefox on Linux`; any other name as it is."""
    if not agent:
        return "Unknown browser"
    name = next((known for part, known in _BROWSERS.items() if f"{part}/" in agent), None)
    system = next((known for part, known in _SYSTEMS.items() if part in agent), None)
    return f"{name} on {system}" if name and system else name or agent


def score_trend(compared: Compared) -> Trend | None:
    """An average against the one before; None where either is missing."""
    if not compared.recent.count or not compared.earlier.count:
        return None
    recent, earlier = compared.recent.rounded(1), compared.earlier.rounded(1)
    return _trend(recent - earlier, change=str(abs(recent - earlier)), before=str(earlier), more_is_better=True)


def share_trend(compared: Compared, *, more_is_better: bool, places: int = 0) -> Trend | None:
    """A share against the one before, in percentage points; None where either is missing."""
    if not compared.recent.count or not compared.earlier.count:
        return None
    recent, earlier = (
        round_half_up(ratio.total * 100 / ratio.count, places) for ratio in (compared.recent, compared.earlier)
    )
    points = abs(recent - earlier)
    change = f"{points} point" if str(points) == "1" else f"{points} points"
    return _trend(recent - earlier, change=change, before=f"{earlier}%", more_is_better=more_is_better)


def count_trend(recent: int, earlier: int, *, more_is_better: bool) -> Trend:
    """A number against the one before."""
    change = f"{abs(recent - earlier):,}"
    return _trend(Decimal(recent - earlier), change=change, before=f"{earlier:,}", more_is_better=more_is_better)


def _trend(difference: Decimal, *, change: str, before: str, more_is_better: bool) -> Trend:
    if difference == 0:
        return Trend("level", change, before, None)
    is_up = difference > 0
    return Trend("up" if is_up else "down", change, before, is_up is more_is_better)


def session_outcome(session: SessionRow) -> str:
    """How a session ended, in words."""
    if session.status == "rescheduled" and session.rescheduled_by:
        return f"Rescheduled by the {session.rescheduled_by}"
    return label(session.status)


def in_short(session: SessionRow) -> str:
    """A session's measures in a line: `engagement 7.2 · talk ratio 44% · 3 checks · rated 4 of 5`."""
    if session.status != "completed":
        measures = session_outcome(session)
    elif session.talk_ratio is not None or session.engagement is not None:
        checks = plural(int(session.checks or 0), "check")
        measures = f"engagement {amount(session.engagement)} · talk ratio {percent(session.talk_ratio)} · {checks}"
    else:
        measures = "no audio analysis"
    return f"{measures} · rated {session.rating} of 5" if session.rating else measures


_TELLS = {rule.name: rule.tells for rule in RULES}


def telling(session: EvidenceSession, rule: str) -> str:
    """What a session says about an alert type or an insight category: `scored 5.8`, `talk ratio 72%`.

    Nothing where the rule's own words say it already.
    """
    tells = _TELLS.get(rule, Tells.SCORE)
    if tells is Tells.NOTHING:
        return ""
    if session.status != "completed":
        return label(session.status).lower()
    match tells:
        case Tells.TALK_RATIO:
            return f"talk ratio {percent(session.talk_ratio)}"
        case Tells.CHECKS:
            return plural(int(session.checks or 0), "check")
        case Tells.ENGAGEMENT:
            return f"engagement {amount(session.engagement)}"
    return f"scored {session.score}" if session.score is not None else "no score"


def metrics(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A session's metrics, each in words: `("Tutor talk ratio", "44%")`."""
    return [(_metric_label(name), _metric_value(name, value)) for name, value in group.items()]


_MINUTES = {"student_taking_notes_duration", "whiteboard_usage_minutes"}
_OUT_OF_TEN = ("_score",)


def _metric_label(name: str) -> str:
    return METRIC_LABELS.get(name) or label(name.removesuffix("_count").removesuffix("_score"))


def _metric_value(name: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if name.endswith(("_ratio", "_pct")):
        return percent(value)
    if name.endswith(_OUT_OF_TEN):
        return f"{amount(value)} of 10"
    if name == "avg_student_response_delay":
        return f"{amount(value)} s"
    return f"{value:,} min" if name in _MINUTES else f"{value:,}"
