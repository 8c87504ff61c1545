"""The small pieces of HTML that lists repeat, as filters: calling a macro costs more than most of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from web.http.paths import path_part
from web.queries.expressions import Cut
from web.queries.sessions import SessionRow
from web.time_zones import in_zone
from web.views.labels import label
from web.views.presentation import ago, average_score, band, day, for_viewer, iso, moment

_WHOLE = Markup(' <a class="whole" href="/texts/{}">Whole text</a>')


class HasCut(Protocol):
    """A row of texts; `cut` says where the whole of those is that were cut."""

    @property
    def cut(self) -> Mapping[str, str]:
        """By field."""


def when(zone: ZoneInfo, instant: datetime, now: datetime) -> Markup:
    """How long ago, which scripts count on."""
    return _time(instant, f' title="{moment(zone, instant)}" data-ago', ago(zone, instant, now))


def on_day(zone: ZoneInfo, instant: datetime, now: datetime) -> Markup:
    """The day of an instant."""
    return _time(instant, f' title="{moment(zone, instant)}"', day(zone, instant, now))


def on_day_and_time(zone: ZoneInfo, instant: datetime, now: datetime) -> Markup:
    """The day of an instant, and the time: `18 Nov, 14:02`."""
    text = f"{day(zone, instant, now)}, {in_zone(instant, zone):%H:%M}"
    return _time(instant, f' title="{moment(zone, instant)}"', text)


def mail_link(address: str) -> Markup:
    """An e-mail address, which opens a new message."""
    if "@" not in address or isinstance(address, Cut):
        return _html(f"<bdi>{escape(address)}</bdi>")
    return _html(f'<a href="mailto:{quote(address, safe="@+")}"><bdi>{escape(address)}</bdi></a>')


def point_in_time(zone: ZoneInfo, instant: datetime) -> Markup:
    """An instant in full."""
    return _time(instant, "", moment(zone, instant))


def _html(text: str) -> Markup:
    """The text as HTML: each function escapes what clients wrote before it gets here."""
    return Markup(text)  # noqa: S704 # nosec B704


def _time(instant: datetime, attributes: str, text: str) -> Markup:
    return _html(f'<time datetime="{iso(instant)}"{attributes}>{text}</time>')


def severity_badge(severity: str) -> Markup:
    """A severity in words, in its colour."""
    badge = f'<span class="badge {escape(severity)}">{escape(label(severity))}</span>'
    return _html(badge)


def score(value: Decimal | None) -> Markup:
    """A score in the colour of its band; a dash where there is none."""
    text = f'<span class="score {band(value)}">{average_score(value)}</span>'
    return _html(text)


def tutor_link(tutor_id: str, name: str) -> Markup:
    """A tutor's name, which leads to their page."""
    part = path_part(tutor_id)
    link = f'<a class="who" href="/tutors/{part}"><bdi>{escape(name)}</bdi></a>'
    whole_name = _WHOLE.format(f"user/{part}/name") if isinstance(name, Cut) else ""
    return _html(link + whole_name)


def subject(session: SessionRow) -> Markup:
    """What a session is about; where the platform keeps no subjects, a session."""
    if session.subject:
        return _html(f"<bdi>{escape(session.subject)}</bdi>")
    return _html(f"Session {session.session_number}")


def whole(row: HasCut, field: str) -> Markup:
    """After a text that was cut, a link to the whole of it."""
    if not isinstance(getattr(row, field), Cut):  # most texts are whole: nothing more is looked up for them
        return _NOTHING
    return _WHOLE.format(row.cut[field])


_NOTHING = Markup("")
FILTERS: dict[str, Callable[..., Markup]] = {
    "when": for_viewer(when),
    "on_day": for_viewer(on_day),
    "on_day_and_time": for_viewer(on_day_and_time),
    "mail_link": mail_link,
    "point_in_time": for_viewer(point_in_time),
    "severity_badge": severity_badge,
    "score": score,
    "tutor_link": tutor_link,
    "subject": subject,
    "whole": whole,
}
