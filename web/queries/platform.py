"""Reads every tutor's statistics of the last 30 days, and makes the platform's of them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, bindparam, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.tables import sessions
from rules.alerts import high_reschedule_rate, no_show_pattern
from rules.measures import Ratio
from rules.sources import completed_since, converted, meets, status
from rules.thresholds import Thresholds
from web.queries.expressions import count_where

WINDOW = timedelta(days=30)
"""The statistics and the scoreboard are about the last 30 days (specification, "Dashboard")."""
READING_SECONDS = 20
"""How long reading may take: nobody waits for it, so as long as any statement of ours outside a page."""
NOTHING_MEASURED = Ratio()
ROWS_AT_ONCE = 500
"""After so many tutors other requests have their turn."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A statistic of the last 30 days, and of the 30 days before."""

    recent: Ratio
    earlier: Ratio


@dataclass(frozen=True, slots=True)
class TutorMonth:
    """A tutor's statistics of 30 days: what every number about the platform, and every list behind one, is made of."""

    score: Ratio = NOTHING_MEASURED
    conversion: Ratio = NOTHING_MEASURED
    """How many of the students whose first session was held came back."""
    completed: int = 0
    no_shows: int = 0
    """Sessions that the tutor missed."""
    missed: int = 0
    """Sessions that the tutor or the student missed."""
    reschedules: int = 0
    """Sessions that the tutor moved."""

    @property
    def due(self) -> int:
        """Sessions that were held or missed: what the no-show rate is of."""
        return self.completed + self.missed


NO_SESSIONS = TutorMonth()


@dataclass(frozen=True, slots=True)
class Months:
    """All tutors' statistics by their ids: of the last 30 days, and of the 30 before. Who had no session is absent."""

    recent: Mapping[str, TutorMonth]
    earlier: Mapping[str, TutorMonth]


@dataclass(frozen=True, slots=True)
class ChurnRisk:
    """Who is at churn risk: from so many no-shows on, or from so many reschedules on, in 30 days."""

    no_shows: int
    reschedules: int

    def among(self, months: Mapping[str, TutorMonth]) -> frozenset[str]:
        """The ids of the tutors at risk."""
        return frozenset(
            tutor_id
            for tutor_id, month in months.items()
            if month.no_shows >= self.no_shows or month.reschedules >= self.reschedules
        )


@dataclass(frozen=True, slots=True)
class PlatformStatistics:
    """The platform's statistics; `at_risk` has tutors at churn risk, `at_risk_earlier` says how many were before."""

    score: Compared
    conversion: Compared
    no_shows: Compared
    risk: ChurnRisk
    at_risk: frozenset[str]
    at_risk_earlier: int

    @property
    def churn_risk(self) -> int:
        """How many tutors are at churn risk."""
        return len(self.at_risk)


async def tutor_months(conn: AsyncConnection, now: datetime) -> Months:
    """Each tutor's statistics of the last 30 days and of the 30 before. One statement, over sixty days of sessions."""
    rows = await conn.execute(_months_query(), {"recent_start": now - WINDOW, "earlier_start": now - 2 * WINDOW})
    recent: dict[str, TutorMonth] = {}
    earlier: dict[str, TutorMonth] = {}
    for number, (tutor_id, *values) in enumerate(rows, start=1):
        half = len(values) // 2
        recent[tutor_id], earlier[tutor_id] = _month(*values[:half]), _month(*values[half:])
        if number % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return Months(recent, earlier)


def platform_statistics(months: Months, thresholds: Thresholds) -> PlatformStatistics:
    """The statistics of all tutors together."""
    risk = ChurnRisk(thresholds[no_show_pattern.COUNT], thresholds[high_reschedule_rate.COUNT])
    return PlatformStatistics(
        score=_compared(months, lambda month: month.score),
        conversion=_compared(months, lambda month: month.conversion),
        no_shows=_compared(months, lambda month: Ratio(Decimal(month.no_shows), month.due)),
        risk=risk,
        at_risk=risk.among(months.recent),
        at_risk_earlier=len(risk.among(months.earlier)),
    )


async def allow_for_long_reading(conn: AsyncConnection) -> None:
    """Lets statements of this transaction take longer than those of a page."""
    await conn.execute(text(f"SET LOCAL statement_timeout = '{READING_SECONDS}s'"))


_RECENT_START = bindparam("recent_start", type_=NaiveUtc)
_EARLIER_START = bindparam("earlier_start", type_=NaiveUtc)


@cache
def _months_query() -> Select[Any]:
    """Per tutor the fields of `TutorMonth`, its ratios as two columns: of the last 30 days, then of the 30 before."""
    completed, missed = _completed(), _missed()
    of_both = completed.join(missed, completed.c.tutor_id == missed.c.tutor_id, full=True)
    columns = [
        column
        for half in ("recent", "earlier")
        for column in (
            *(completed.c[f"{half}_{name}"] for name in _COMPLETED),
            *(missed.c[f"{half}_{name}"] for name in _MISSED),
        )
    ]
    tutor_id = func.coalesce(completed.c.tutor_id, missed.c.tutor_id)
    return select(tutor_id.label("tutor_id"), *columns).select_from(of_both)


def _halves(at: ColumnElement[datetime]) -> dict[str, ColumnElement[bool]]:
    return {"recent": at >= _RECENT_START, "earlier": at < _RECENT_START}


_COMPLETED = ("score_sum", "score_count", "converted", "first_sessions", "completed")
_MISSED = ("no_shows", "missed", "reschedules")


def _completed() -> CTE:
    session = completed_since(_EARLIER_START)
    score, at = session.c.overall_session_score, session.c.at
    is_first = session.c.session_number == 1
    columns = [
        column
        for half, is_in_half in _halves(at).items()
        for column in (
            func.sum(score).filter(is_in_half).label(f"{half}_score_sum"),
            func.count(score).filter(is_in_half).label(f"{half}_score_count"),
            count_where(and_(is_in_half, is_first, converted(session))).label(f"{half}_converted"),
            count_where(and_(is_in_half, is_first)).label(f"{half}_first_sessions"),
            count_where(is_in_half).label(f"{half}_completed"),
        )
    ]
    return select(session.c.tutor_id, *columns).select_from(session).group_by(session.c.tutor_id).cte("completed")


def _missed() -> CTE:
    """Per tutor: sessions that fell through because the tutor or the student didn't come or the tutor moved them."""
    no_show = meets(no_show_pattern.missed_by_tutor)
    waited = sessions.c.status == status("no_show_student")
    moved = meets(high_reschedule_rate.rescheduled_by_tutor)
    columns = [
        column
        for half, is_in_half in _halves(sessions.c.scheduled_start).items()
        for column in (
            count_where(and_(is_in_half, no_show)).label(f"{half}_no_shows"),
            count_where(and_(is_in_half, or_(no_show, waited))).label(f"{half}_missed"),
            count_where(and_(is_in_half, moved)).label(f"{half}_reschedules"),
        )
    ]
    return (
        select(sessions.c.tutor_id, *columns)
        .where(
            sessions.c.status.in_([status("no_show_tutor"), status("no_show_student"), status("rescheduled")]),
            sessions.c.scheduled_start >= _EARLIER_START,
        )
        .group_by(sessions.c.tutor_id)
    ).cte("missed")


def _month(
    score_sum: Decimal | None,
    score_count: int | None,
    converted: int | None,
    first_sessions: int | None,
    completed: int | None,
    no_shows: int | None,
    missed: int | None,
    reschedules: int | None,
) -> TutorMonth:
    return TutorMonth(
        score=Ratio(score_sum or Decimal(0), score_count or 0),
        conversion=Ratio(Decimal(converted or 0), first_sessions or 0),
        completed=completed or 0,
        no_shows=no_shows or 0,
        missed=missed or 0,
        reschedules=reschedules or 0,
    )


def _compared(months: Months, of: Callable[[TutorMonth], Ratio]) -> Compared:
    return Compared(_sum(map(of, months.recent.values())), _sum(map(of, months.earlier.values())))


def _sum(ratios: Iterable[Ratio]) -> Ratio:
    total, count = Decimal(0), 0
    for ratio in ratios:
        total, count = total + ratio.total, count + ratio.count
    return Ratio(total, count)
