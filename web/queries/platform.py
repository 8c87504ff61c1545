"""Reads the platform's statistics of the last 30 days, and each tutor's average."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import CTE, ColumnElement, Integer, Row, Select, and_, bindparam, func, literal, or_, select, text, true
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


@dataclass(frozen=True, slots=True)
class Compared:
    """A statistic of the last 30 days, and of the 30 days before."""

    recent: Ratio
    earlier: Ratio


@dataclass(frozen=True, slots=True)
class PlatformStatistics:
    """The platform's statistics. `churn_risk` counts tutors: in the last 30 days, and in the 30 before."""

    score: Compared
    conversion: Compared
    no_shows: Compared
    churn_risk: int
    churn_risk_earlier: int
    risky_no_shows: int
    risky_reschedules: int
    """From so many on, of either kind in 30 days, a tutor is at risk."""


async def platform_statistics(conn: AsyncConnection, now: datetime, thresholds: Thresholds) -> PlatformStatistics:
    """The statistics of the last 30 days and the 30 before. One statement, over sixty days of sessions."""
    values = {
        "recent_start": now - WINDOW,
        "earlier_start": now - 2 * WINDOW,
        "no_show_threshold": thresholds[no_show_pattern.COUNT],
        "reschedule_threshold": thresholds[high_reschedule_rate.COUNT],
    }
    row = (await conn.execute(_statistics_query(), values)).one()
    return PlatformStatistics(
        score=_compared(row, "score_sum", "score_count"),
        conversion=_compared(row, "converted", "first_sessions"),
        no_shows=_compared(row, "no_shows", "due"),
        churn_risk=row.recent_churn_risk,
        churn_risk_earlier=row.earlier_churn_risk,
        risky_no_shows=thresholds[no_show_pattern.COUNT],
        risky_reschedules=thresholds[high_reschedule_rate.COUNT],
    )


async def allow_for_long_reading(conn: AsyncConnection) -> None:
    """Lets statements of this transaction take longer than those of a page."""
    await conn.execute(text(f"SET LOCAL statement_timeout = '{READING_SECONDS}s'"))


async def tutor_averages(conn: AsyncConnection, now: datetime, *conditions: ColumnElement[bool]) -> Mapping[str, Ratio]:
    """Each tutor's average score of the last 30 days, or of those sessions that meet the conditions, too.

    Tutors without a scored session are absent.
    """
    session = completed_since(literal(now - WINDOW, NaiveUtc), *conditions)
    score = session.c.overall_session_score
    query = (
        select(session.c.tutor_id, func.sum(score).label("total"), func.count().label("sessions"))
        .where(score.is_not(None))
        .group_by(session.c.tutor_id)
    )
    return {row.tutor_id: Ratio(row.total, row.sessions) for row in await conn.execute(query)}


_RECENT_START = bindparam("recent_start", type_=NaiveUtc)
_EARLIER_START = bindparam("earlier_start", type_=NaiveUtc)


@cache
def _statistics_query() -> Select[Any]:
    completed, risk = _completed(), _churn_risk(_missed())
    due = [
        (completed.c[f"{half}_completed"] + risk.c[f"{half}_missed"]).label(f"{half}_due")
        for half in ("recent", "earlier")
    ]
    return select(*completed.c, *risk.c, *due).select_from(completed.join(risk, true()))


def _halves(at: ColumnElement[datetime]) -> dict[str, ColumnElement[bool]]:
    return {"recent": at >= _RECENT_START, "earlier": at < _RECENT_START}


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
            count_where(is_in_half).label(f"{half}_completed"),
            count_where(and_(is_in_half, is_first)).label(f"{half}_first_sessions"),
            count_where(and_(is_in_half, is_first, converted(session))).label(f"{half}_converted"),
        )
    ]
    return select(*columns).select_from(session).cte("completed")


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
            count_where(and_(is_in_half, moved)).label(f"{half}_moved"),
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


def _churn_risk(missed: CTE) -> CTE:
    no_shows = bindparam("no_show_threshold", type_=Integer)
    reschedules = bindparam("reschedule_threshold", type_=Integer)
    columns = [
        column
        for half in ("recent", "earlier")
        for column in (
            func.coalesce(func.sum(missed.c[f"{half}_no_shows"]), 0).label(f"{half}_no_shows"),
            func.coalesce(func.sum(missed.c[f"{half}_missed"]), 0).label(f"{half}_missed"),
            count_where(or_(missed.c[f"{half}_no_shows"] >= no_shows, missed.c[f"{half}_moved"] >= reschedules)).label(
                f"{half}_churn_risk"
            ),
        )
    ]
    return select(*columns).select_from(missed).cte("risk")


def _compared(row: Row[Any], total: str, count: str) -> Compared:
    values = row._mapping  # noqa: SLF001 - Row's API
    return Compared(*(_ratio(values[f"{half}_{total}"], values[f"{half}_{count}"]) for half in ("recent", "earlier")))


def _ratio(total: Decimal | int | None, count: Decimal | int) -> Ratio:
    return Ratio(Decimal(total or 0), int(count))
