"""Reads what the dashboard shows of the whole platform: its figures, and who stands out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from heapq import nsmallest
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    and_,
    any_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.tables import alerts, sessions, users
from rules.decisions.statistics import Ratio
from rules.sessions import completed_since, converted, status
from rules.settings import Thresholds
from web.queries.expressions import LONGEST_LINE, cut
from web.queries.sessions import FLAGGED_BELOW

WINDOW = timedelta(days=30)
"""The platform's figures and the scoreboard are about the last 30 days (specification, "Dashboard")."""
TOP_LEAST_SESSIONS = 5
"""Least scored sessions of a top performer (specification, "Dashboard")."""
SCOREBOARD_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the last 30 days, and of the 30 days before."""

    recent: Ratio
    earlier: Ratio


@dataclass(frozen=True, slots=True)
class PlatformMetrics:
    """The platform's figures. `churn_risk` counts tutors: in the last 30 days, and in the 30 before."""

    score: Compared
    conversion: Compared
    no_shows: Compared
    churn_risk: int
    churn_risk_earlier: int


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """A tutor's open alerts by severity."""

    critical: int = 0
    warning: int = 0
    info: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.critical + self.warning + self.info


NO_ALERTS = AlertCounts()


@dataclass(frozen=True, slots=True)
class Standing:
    """A tutor's line on the scoreboard; the average is None without a scored session in the window."""

    tutor_id: str
    average: Decimal | None
    session_count: int
    alerts: AlertCounts


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the averages alone say: who is on top, best first, and who is under 6.5."""

    averages: Mapping[str, Ratio]
    top: tuple[str, ...]
    low: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Who stands out; `attention_count` says how many tutors need attention, shown or not."""

    top: tuple[Standing, ...]
    attention: tuple[Standing, ...]
    attention_count: int


async def platform_metrics(conn: AsyncConnection, now: datetime, limits: Thresholds) -> PlatformMetrics:
    """The figures of the last 30 days and the 30 before. One statement, over sixty days of sessions."""
    values = {
        "recent_start": now - WINDOW,
        "earlier_start": now - 2 * WINDOW,
        "no_show_limit": limits.no_show_pattern_count,
        "reschedule_limit": limits.high_reschedule_count,
    }
    row = (await conn.execute(_metrics_query(), values)).one()
    return PlatformMetrics(
        score=_compared(row, "score_sum", "score_count"),
        conversion=_compared(row, "converted", "first_sessions"),
        no_shows=_compared(row, "no_shows", "due"),
        churn_risk=row.recent_churn_risk,
        churn_risk_earlier=row.earlier_churn_risk,
    )


async def tutor_averages(conn: AsyncConnection, now: datetime) -> Mapping[str, Ratio]:
    """Each tutor's average score of the last 30 days; tutors without a scored session are absent."""
    return await averages_where(conn, now)


async def averages_where(conn: AsyncConnection, now: datetime, *conditions: ColumnElement[bool]) -> Mapping[str, Ratio]:
    """The same of the sessions that meet these conditions."""
    session = completed_since(literal(now - WINDOW, NaiveUtc), *conditions)
    score = session.c.overall_session_score
    query = (
        select(session.c.tutor_id, func.sum(score).label("total"), func.count().label("sessions"))
        .where(score.is_not(None))
        .group_by(session.c.tutor_id)
    )
    return {row.tutor_id: Ratio(row.total, row.sessions) for row in await conn.execute(query)}


async def open_alert_counts(conn: AsyncConnection, tutor_ids: Sequence[str] | None = None) -> Mapping[str, AlertCounts]:
    """How many open alerts tutors have; tutors without any are absent. Of all tutors, or of these."""
    query = select(
        alerts.c.tutor_id,
        *(_count_where(alerts.c.severity == severity).label(severity) for severity in ("critical", "warning", "info")),
    ).where(~alerts.c.resolved)
    if tutor_ids is not None:
        query = query.where(alerts.c.tutor_id == any_(literal(list(tutor_ids), ARRAY(String))))
    rows = await conn.execute(query.group_by(alerts.c.tutor_id))
    return {row.tutor_id: AlertCounts(row.critical, row.warning, row.info) for row in rows}


async def critical_count(conn: AsyncConnection) -> int:
    """How many critical alerts are open."""
    query = select(func.count()).select_from(alerts).where(~alerts.c.resolved, alerts.c.severity == "critical")
    return await conn.scalar(query) or 0


async def names_of(conn: AsyncConnection, user_ids: Sequence[str]) -> Mapping[str, str]:
    """The names of these users, by id."""
    query = select(users.c.id, cut(users.c.name, LONGEST_LINE).label("name")).where(
        users.c.id == any_(literal(list(user_ids), ARRAY(String)))
    )
    return {row.id: row.name for row in await conn.execute(query)}


def rank(averages: Mapping[str, Ratio]) -> Ranking:
    """Ranks the tutors by their averages: the best of them (none under 6.5), and all who are under 6.5."""
    best = nsmallest(
        SCOREBOARD_LENGTH,
        (
            (-average.total / average.count, -average.count, tutor_id)
            for tutor_id, average in averages.items()
            if average.count >= TOP_LEAST_SESSIONS and not average.below(FLAGGED_BELOW)
        ),
    )
    low = frozenset(tutor_id for tutor_id, average in averages.items() if average.below(FLAGGED_BELOW))
    return Ranking(averages, tuple(tutor_id for _, _, tutor_id in best), low)


def scoreboard(ranking: Ranking, counts: Mapping[str, AlertCounts]) -> Scoreboard:
    """The best averages, and who has open alerts or an average under 6.5.

    Those who need attention come with critical alerts first, then the lowest score, then those without one.
    """
    needing = ranking.low | counts.keys()

    def order(tutor_id: str) -> tuple[bool, bool, Decimal, str]:
        average = ranking.averages.get(tutor_id)
        value = average.total / average.count if average else Decimal(0)
        return (counts.get(tutor_id, NO_ALERTS).critical == 0, average is None, value, tutor_id)

    return Scoreboard(
        top=tuple(_standing(tutor_id, ranking, counts) for tutor_id in ranking.top),
        attention=tuple(
            _standing(tutor_id, ranking, counts) for tutor_id in nsmallest(SCOREBOARD_LENGTH, needing, key=order)
        ),
        attention_count=len(needing),
    )


def _standing(tutor_id: str, ranking: Ranking, counts: Mapping[str, AlertCounts]) -> Standing:
    average = ranking.averages.get(tutor_id)
    return Standing(
        tutor_id=tutor_id,
        average=average.total / average.count if average else None,
        session_count=average.count if average else 0,
        alerts=counts.get(tutor_id, NO_ALERTS),
    )


_RECENT_START = bindparam("recent_start", type_=NaiveUtc)
_EARLIER_START = bindparam("earlier_start", type_=NaiveUtc)


@cache
def _metrics_query() -> Select[Any]:
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
    figures = [
        column
        for half, is_in_half in _halves(at).items()
        for column in (
            func.sum(score).filter(is_in_half).label(f"{half}_score_sum"),
            func.count(score).filter(is_in_half).label(f"{half}_score_count"),
            _count_where(is_in_half).label(f"{half}_completed"),
            _count_where(and_(is_in_half, is_first)).label(f"{half}_first_sessions"),
            _count_where(and_(is_in_half, is_first, converted(session))).label(f"{half}_converted"),
        )
    ]
    return select(*figures).select_from(session).cte("completed")


def _missed() -> CTE:
    """Per tutor: sessions that fell through because the tutor or the student didn't come or the tutor moved them."""
    no_show = sessions.c.status == status("no_show_tutor")
    waited = sessions.c.status == status("no_show_student")
    moved = and_(sessions.c.status == status("rescheduled"), sessions.c.rescheduled_by == "tutor")
    figures = [
        column
        for half, is_in_half in _halves(sessions.c.scheduled_start).items()
        for column in (
            _count_where(and_(is_in_half, no_show)).label(f"{half}_no_shows"),
            _count_where(and_(is_in_half, or_(no_show, waited))).label(f"{half}_missed"),
            _count_where(and_(is_in_half, moved)).label(f"{half}_moved"),
        )
    ]
    return (
        select(sessions.c.tutor_id, *figures)
        .where(
            sessions.c.status.in_([status("no_show_tutor"), status("no_show_student"), status("rescheduled")]),
            sessions.c.scheduled_start >= _EARLIER_START,
        )
        .group_by(sessions.c.tutor_id)
    ).cte("missed")


def _churn_risk(missed: CTE) -> CTE:
    no_show_limit = bindparam("no_show_limit", type_=Integer)
    reschedule_limit = bindparam("reschedule_limit", type_=Integer)
    figures = [
        column
        for half in ("recent", "earlier")
        for column in (
            func.coalesce(func.sum(missed.c[f"{half}_no_shows"]), 0).label(f"{half}_no_shows"),
            func.coalesce(func.sum(missed.c[f"{half}_missed"]), 0).label(f"{half}_missed"),
            _count_where(
                or_(missed.c[f"{half}_no_shows"] >= no_show_limit, missed.c[f"{half}_moved"] >= reschedule_limit)
            ).label(f"{half}_churn_risk"),
        )
    ]
    return select(*figures).select_from(missed).cte("risk")


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(literal_column("*")).filter(condition)


def _compared(row: Row[Any], total: str, count: str) -> Compared:
    values = row._mapping  # noqa: SLF001 - Row's API
    return Compared(*(_ratio(values[f"{half}_{total}"], values[f"{half}_{count}"]) for half in ("recent", "earlier")))


def _ratio(total: Decimal | int | None, count: Decimal | int) -> Ratio:
    return Ratio(Decimal(total or 0), int(count))
