"""Reads who the tutors are, and what lists of them are made of."""

import asyncio
import re
import unicodedata
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import NOTHING_MISSING, Missing
from database.tables import sessions, tutor_insights, tutors, users
from web.queries.alerts.lists import AlertFilter, AlertStatus, tutors_with_alerts
from web.queries.dashboard import AlertCounts, Ranking, open_alert_counts
from web.queries.expressions import LONGEST_LINE, cut, if_there, shown_name
from web.queries.platform import NO_SESSIONS, ROWS_AT_ONCE, PlatformStatistics, TutorMonth


class TutorFilter(StrEnum):
    """Which tutors are asked for."""

    ALL = "all"
    ATTENTION = "attention"
    CHURN_RISK = "churn_risk"
    UNATTENDED = "unattended"
    CRITICAL = "critical"
    OPEN_ALERTS = "open_alerts"
    LOW_AVERAGE = "low_average"
    TOP_PERFORMERS = "top_performers"
    NO_INSIGHT = "no_insight"
    NO_SHOWS = "no_shows"
    RESCHEDULES = "reschedules"
    FIRST_SESSIONS = "first_sessions"
    SCORED = "scored"


class TutorSort(StrEnum):
    """What tutors are sorted by; in addresses a minus before it says that the largest come first."""

    NAME = "name"
    AVERAGE = "average"
    SESSIONS = "sessions"
    ALERTS = "alerts"
    NO_SHOWS = "no_shows"
    RESCHEDULES = "reschedules"
    CONVERSION = "conversion"
    NO_SHOW_RATE = "no_show_rate"


@dataclass(frozen=True, slots=True)
class TutorsWanted:
    """Which tutors are asked for, and in which order."""

    search: str = ""
    """Words; each is part of a name, of the e-mail address or of the id."""
    filter: TutorFilter = TutorFilter.ALL
    sort: TutorSort = TutorSort.NAME
    is_descending: bool = False

    @property
    def order(self) -> str:
        """The order as it stands in an address."""
        return f"-{self.sort}" if self.is_descending else str(self.sort)

    @property
    def parts(self) -> list[str | None]:
        """All of it in texts, in an order of its own."""
        return ["tutors", self.search, self.filter, self.order]


@dataclass(frozen=True, slots=True)
class TutorEntry:
    """A tutor by name, and the text in which they are searched, folded."""

    tutor_id: str
    name: str
    folded_name: str
    searched: str


@dataclass(frozen=True, slots=True)
class KnownOfTutors:
    """What is known of all tutors' last 30 days: of each by id, of all together, and who stands out."""

    months: Mapping[str, TutorMonth]
    statistics: PlatformStatistics
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class TutorFacts:
    """What lists of tutors are made of. `known` is None where the statistics are still being read."""

    known: KnownOfTutors | None
    alerts: Mapping[str, AlertCounts]
    chosen: AbstractSet[str] = frozenset()
    """Those whom a statement of the filter's own has found."""

    def month(self, tutor_id: str) -> TutorMonth:
        """The tutor's last 30 days, as far as they are known."""
        return self.known.months.get(tutor_id, NO_SESSIONS) if self.known else NO_SESSIONS


SORTED_BY = 60
"""Characters of a name that tutors are sorted by: they go into addresses, where a whole name may be too long."""


def folded(text: str) -> str:
    """The text as it is searched: without case and accents, so that "zoe" finds Zoë."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text.casefold()).translate(_WITHOUT_STROKE))


_ACCENTS = re.compile("[\N{COMBINING GRAVE ACCENT}-\N{COMBINING LATIN SMALL LETTER X}]")
"""The marks of Latin, Greek and Cyrillic letters; those of other scripts are as much as letters."""
_WITHOUT_STROKE = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "\N{LATIN SMALL LETTER DOTLESS I}": "i", "æ": "ae", "œ": "oe"}
)


async def every_tutor_by_name(conn: AsyncConnection, *, missing: Missing = NOTHING_MISSING) -> Mapping[str, TutorEntry]:
    """All tutors by id, in the order of their names. One statement."""
    query = select(
        users.c.id,
        shown_name(users, missing).label("shown"),
        cut(users.c.name, LONGEST_LINE).label("name"),
        cut(if_there(users.c.preferred_name, missing), LONGEST_LINE).label("preferred"),
        cut(users.c.email, LONGEST_LINE).label("email"),
    ).where(_is_tutor())
    entries = []
    for number, row in enumerate(await conn.execute(query), start=1):
        entries.append(_to_entry(*row))
        if number % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return {entry.tutor_id: entry for entry in sorted(entries, key=lambda entry: (entry.folded_name, entry.tutor_id))}


def _to_entry(tutor_id: str, shown: str, name: str, preferred: str | None, email: str | None) -> TutorEntry:
    searched = folded(" ".join((name, preferred or "", email or "", tutor_id)))
    return TutorEntry(tutor_id, shown, folded(shown)[:SORTED_BY], searched)


async def tutor_facts(conn: AsyncConnection, wanted: TutorFilter, known: KnownOfTutors | None) -> TutorFacts:
    """What the list needs beside the names. One statement; two for filters of whom no count tells."""
    return TutorFacts(known, alerts=await open_alert_counts(conn), chosen=await _chosen(conn, wanted))


async def _chosen(conn: AsyncConnection, wanted: TutorFilter) -> AbstractSet[str]:
    match wanted:
        case TutorFilter.UNATTENDED:
            return await tutors_with_alerts(conn, AlertFilter(AlertStatus.UNATTENDED))
        case TutorFilter.NO_INSIGHT:
            shown = select(tutor_insights.c.tutor_id).where(tutor_insights.c.is_active)
            query = select(users.c.id).where(_is_tutor(), users.c.id.not_in(shown))
            return frozenset((await conn.scalars(query)).all())
    return frozenset()


def _is_tutor() -> ColumnElement[bool]:
    """Whether a user is one of `every_tutor`, for a list of them: most users are students.

    Who teaches is read from tutor to tutor along an index of the sessions, instead of looking for each student's.
    """
    taught = select(func.min(sessions.c.tutor_id).label("id")).cte("taught", recursive=True)
    following = select(func.min(sessions.c.tutor_id)).where(sessions.c.tutor_id > taught.c.id).scalar_subquery()
    taught = taught.union_all(select(following).where(taught.c.id.is_not(None)))
    return or_(
        users.c.role == "tutor",
        users.c.id.in_(select(tutors.c.user_id)),
        users.c.id.in_(select(taught.c.id)),
    )
