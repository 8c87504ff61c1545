"""Reads all that is known of one tutor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.platform import NOTHING_MISSING, Missing
from database.platform_needs import Feature
from database.tables import coaching_notes, feedback, sessions, tutors, users
from rules.alerts import high_reschedule_rate, no_show_pattern
from rules.measures import Ratio
from rules.sources import converted, dated, engagement, meets, status, with_metrics
from rules.tutors import every_tutor
from web.auth.identity import Viewer
from web.http.inputs import LONGEST_TEXT
from web.queries.alerts.rows import AlertRow
from web.queries.alerts.single import (
    ResolvedPage,
    ResolvedPosition,
    alerts_triggered_since,
    open_alerts_of,
    resolved_alerts_of,
)
from web.queries.evidence import NO_EVIDENCE, Evidence, InsightRow, evidence_of, insights_of
from web.queries.expressions import (
    LONGEST_LINE,
    count_where,
    cut,
    if_there,
    shown_at,
    shown_name,
    shown_on,
    with_feedback,
)
from web.queries.paging import Cursor
from web.queries.platform import WINDOW, Compared
from web.queries.sessions import SessionPosition, SessionsPage, sessions_of
from web.queries.system import not_evaluated_since
from web.queries.texts import WholeTexts, whole_texts

TREND_DAYS = 30
EVIDENCE_SESSIONS = 10
"""How many of an alert's sessions a tutor's page lists."""
MOST_OPEN_ALERTS = 100
RESOLVED_ALERTS_PER_PAGE = 20
MOST_NOTES = 50


@dataclass(frozen=True, slots=True)
class TutorStatistics:
    """A tutor's statistics of the last 30 days, the score also of the 30 days before."""

    score: Compared
    engagement: Ratio
    rating: Ratio
    conversion: Ratio
    completed: int
    no_shows: int
    reschedules: int


@dataclass(frozen=True, slots=True)
class TrendDay:
    """A tutor's averages of one day; None where that day has none."""

    day: date
    sessions: int
    score: Decimal | None
    engagement: Decimal | None
    rating: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that isn't resolved, with why it stands."""

    alert: AlertRow
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class TutorOverview:
    """All that a tutor's page shows but the coaching notes."""

    tutor_id: str
    name: str
    email: str | None
    """For admins."""
    member_since: date | None
    not_evaluated_since: datetime | None
    """Since when alerts and insights may lack something that has happened; None: they are evaluated."""
    statistics: TutorStatistics
    trend: tuple[TrendDay, ...]
    insights: tuple[InsightRow, ...]
    open_alerts: tuple[OpenAlert, ...]
    triggered_alerts: tuple[AlertRow, ...]
    """Those of the last 30 days, resolved ones included."""
    resolved_alerts: ResolvedPage
    sessions: SessionsPage

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "user", self.tutor_id, ("name",))

    @property
    def strengths(self) -> tuple[InsightRow, ...]:
        """What the tutor does well, achievements included."""
        return tuple(insight for insight in self.insights if insight.insight_type != "growth_area")

    @property
    def growth_areas(self) -> tuple[InsightRow, ...]:
        """What the tutor could do better."""
        return tuple(insight for insight in self.insights if insight.insight_type == "growth_area")


@dataclass(frozen=True, slots=True)
class CoachingNote:
    """A note about a tutor, for admins' eyes; `author` is None where that person is gone."""

    id: UUID
    note_type: str
    content: str
    author: str | None
    created_at: datetime

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "note", self.id, ("content", "author"))


async def tutor_name(conn: AsyncConnection, tutor_id: str) -> str | None:
    """The name of the tutor with this id; None for anybody else, and for nobody."""
    query = select(cut(users.c.name, LONGEST_LINE)).where(users.c.id == tutor_id, users.c.id.in_(every_tutor()))
    return (await conn.execute(query)).scalar_one_or_none()


async def email_of(conn: AsyncConnection, user_id: str) -> str | None:
    """Somebody's e-mail address, for admins only; None of nobody."""
    query = select(cut(users.c.email, LONGEST_LINE)).where(users.c.id == user_id)
    return (await conn.execute(query)).scalar_one_or_none()


async def tutor_overview(
    conn: AsyncConnection,
    tutor_id: str,
    now: datetime,
    *,
    viewer: Viewer,
    zone: tzinfo = UTC,
    sessions_cursor: Cursor[SessionPosition] | None = None,
    history_cursor: Cursor[ResolvedPosition] | None = None,
    missing: Missing = NOTHING_MISSING,
) -> TutorOverview | None:
    """All that the viewer may know of a tutor, or None if there is no such tutor. A fixed number of statements.

    Days of the trend are those of `zone`.
    """
    header = await _header(conn, tutor_id, missing)
    if header is None:
        return None
    open_alerts = await open_alerts_of(conn, tutor_id, viewer=viewer, limit=MOST_OPEN_ALERTS, missing=missing)
    evidence = await evidence_of(
        conn, [alert.id for alert in open_alerts], sessions_each=EVIDENCE_SESSIONS, missing=missing
    )
    return TutorOverview(
        tutor_id=header.id,
        name=header.name,
        email=header.email if viewer is Viewer.ADMIN else None,
        member_since=header.member_since,
        not_evaluated_since=header.not_evaluated_since,
        statistics=await _statistics(conn, tutor_id, now, missing),
        trend=await _trend(conn, tutor_id, now, zone, missing),
        insights=await insights_of(conn, tutor_id, missing=missing),
        open_alerts=tuple(OpenAlert(alert, evidence.get(alert.id, NO_EVIDENCE)) for alert in open_alerts),
        triggered_alerts=await alerts_triggered_since(
            conn, tutor_id, now - WINDOW, viewer=viewer, limit=MOST_OPEN_ALERTS, missing=missing
        ),
        resolved_alerts=await resolved_alerts_of(
            conn, tutor_id, history_cursor, viewer=viewer, limit=RESOLVED_ALERTS_PER_PAGE, missing=missing
        ),
        sessions=await sessions_of(conn, tutor_id, sessions_cursor, missing=missing),
    )


async def coaching_notes_of(
    conn: AsyncConnection, tutor_id: str, *, limit: int = MOST_NOTES, missing: Missing = NOTHING_MISSING
) -> tuple[CoachingNote, ...]:
    """The latest notes about a tutor, latest first, none where the platform keeps none; for admins only."""
    if missing.of(Feature.COACHING_NOTES):
        return ()
    query = (
        select(
            coaching_notes.c.id,
            coaching_notes.c.note_type,
            cut(coaching_notes.c.content, LONGEST_TEXT).label("content"),
            cut(users.c.name, LONGEST_LINE).label("author"),
            shown_at(coaching_notes.c.created_at).label("created_at"),
        )
        .select_from(coaching_notes.outerjoin(users, users.c.id == coaching_notes.c.created_by))
        .where(coaching_notes.c.tutor_id == tutor_id)
        .order_by(coaching_notes.c.created_at.desc(), coaching_notes.c.id.desc())
        .limit(limit)
    )
    return tuple(
        CoachingNote(row.id, row.note_type, row.content, row.author, row.created_at)
        for row in await conn.execute(query)
    )


async def _header(conn: AsyncConnection, tutor_id: str, missing: Missing) -> Row[Any] | None:
    query: Select[Any] = (
        select(
            users.c.id,
            shown_name(users, missing).label("name"),
            cut(users.c.email, LONGEST_LINE).label("email"),
            shown_on(if_there(tutors.c.member_since, missing)).label("member_since"),
            not_evaluated_since(tutor_id).label("not_evaluated_since"),
        )
        .select_from(users.outerjoin(tutors, tutors.c.user_id == users.c.id))
        .where(users.c.id == tutor_id, users.c.id.in_(every_tutor()))
    )
    found: Row[Any] | None = (await conn.execute(query)).one_or_none()
    return found


async def _statistics(conn: AsyncConnection, tutor_id: str, now: datetime, missing: Missing) -> TutorStatistics:
    values = {"tutor_id": tutor_id, "recent": now - WINDOW, "earlier": now - 2 * WINDOW}
    row = (await conn.execute(_statistics_query(missing), values)).one()
    return TutorStatistics(
        score=Compared(
            Ratio(row.recent_score or Decimal(0), row.recent_scores),
            Ratio(row.earlier_score or Decimal(0), row.earlier_scores),
        ),
        engagement=Ratio(row.engagement or Decimal(0), row.engagements),
        rating=Ratio(Decimal(row.rating or 0), row.ratings),
        conversion=Ratio(Decimal(row.converted), row.first_sessions),
        completed=row.completed,
        no_shows=row.no_shows,
        reschedules=row.reschedules,
    )


@cache
def _statistics_query(missing: Missing) -> Select[Any]:
    recent_start, earlier_start = bindparam("recent", type_=NaiveUtc), bindparam("earlier", type_=NaiveUtc)
    completed = sessions.c.status == status("completed")
    is_recent = and_(completed, dated(sessions) >= recent_start)
    is_earlier = and_(completed, dated(sessions) < recent_start, dated(sessions) >= earlier_start)
    first = and_(is_recent, sessions.c.session_number == 1)
    was_planned = sessions.c.scheduled_start >= recent_start
    no_show = and_(meets(no_show_pattern.missed_by_tutor), was_planned)
    moved = and_(meets(high_reschedule_rate.rescheduled_by_tutor), was_planned)
    score, rating = sessions.c.overall_session_score, if_there(feedback.c.student_satisfaction_rating, missing)
    columns: tuple[ColumnElement[Any], ...] = (
        func.sum(score).filter(is_recent).label("recent_score"),
        func.count(score).filter(is_recent).label("recent_scores"),
        func.sum(score).filter(is_earlier).label("earlier_score"),
        func.count(score).filter(is_earlier).label("earlier_scores"),
        func.sum(engagement()).filter(is_recent).label("engagement"),
        func.count(engagement()).filter(is_recent).label("engagements"),
        func.sum(rating).filter(is_recent).label("rating"),
        func.count(rating).filter(is_recent).label("ratings"),
        count_where(first).label("first_sessions"),
        count_where(and_(first, converted(sessions))).label("converted"),
        count_where(is_recent).label("completed"),
        count_where(no_show).label("no_shows"),
        count_where(moved).label("reschedules"),
    )
    return (
        select(*columns)
        .select_from(with_feedback(with_metrics(), missing))
        .where(
            sessions.c.tutor_id == bindparam("tutor_id", type_=String),
            or_(dated(sessions) >= earlier_start, was_planned),
        )
    )


async def _trend(
    conn: AsyncConnection, tutor_id: str, now: datetime, zone: tzinfo, missing: Missing
) -> tuple[TrendDay, ...]:
    days = days_between(now - WINDOW, now, zone)
    rows = await conn.execute(_trend_query(tutor_id, now - WINDOW, days, zone, missing))
    held = {days[row.number - 1]: row for row in rows if row.number <= len(days)}
    shown = days if days[-1] in held else days[:-1]
    return tuple(_trend_day(day, held.get(day)) for day in shown)


def days_between(start: datetime, end: datetime, zone: tzinfo) -> list[date]:
    """The days of the zone from that of `start` to the one after that of `end`: clients date loosely."""
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date() + timedelta(days=1)
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _trend_query(tutor_id: str, since: datetime, days: Sequence[date], zone: tzinfo, missing: Missing) -> Select[Any]:
    """The same sessions as the statistics'. `number` counts the days from 1.

    When days begin is told by us, to the server as well: its own list of time zones may be another.
    """
    begins = [datetime.combine(day, time(), zone) for day in (*days, days[-1] + timedelta(days=1))]
    number_of_day = func.width_bucket(dated(sessions), literal(begins, ARRAY(NaiveUtc)), type_=Integer)
    return (
        select(
            number_of_day.label("number"),
            count_where(true()).label("sessions"),
            func.avg(sessions.c.overall_session_score).label("score"),
            func.avg(engagement()).label("engagement"),
            func.avg(if_there(feedback.c.student_satisfaction_rating, missing)).label("rating"),
        )
        .select_from(with_feedback(with_metrics(), missing))
        .where(
            sessions.c.tutor_id == tutor_id,
            sessions.c.status == status("completed"),
            dated(sessions) >= literal(since, NaiveUtc),
        )
        .group_by("number")
    )


def _trend_day(day: date, row: Row[Any] | None) -> TrendDay:
    if row is None:
        return TrendDay(day, 0, None, None, None)
    return TrendDay(day, row.sessions, row.score, row.engagement, row.rating)
