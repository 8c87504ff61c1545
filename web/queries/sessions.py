"""Reads tutoring sessions: the latest of all tutors or of one, and one with everything known about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, Text, and_, cast, literal, select, true, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.metric_columns import AUDIO_METRICS, SCREEN_METRICS, VIDEO_METRICS
from database.platform import NOTHING_MISSING, Missing
from database.tables import audio, feedback, screen, sessions, subjects, users, video
from rules.sources import status
from web.http.inputs import LONGEST_TEXT
from web.queries.expressions import (
    LONGEST_LINE,
    at_most,
    cut,
    held_at,
    if_there,
    is_there,
    number,
    shown_at,
    shown_name,
    with_feedback,
    with_subject,
)
from web.queries.paging import Cursor, Page, read_from, read_page
from web.queries.texts import WholeTexts, whole_texts

FLAGGED_BELOW = Decimal("6.5")
"""A session scored lower is flagged (specification, "Dashboard")."""
HIGH_FROM = Decimal("8.5")
"""A session scored this or higher is high (specification, "Dashboard")."""

_DATED_LOOSELY = timedelta(days=1)
"""How far ahead of now a session may be dated and still count as recent: clients date loosely."""


class SessionsShown(StrEnum):
    """Which of the recent sessions to show."""

    ALL = "all"
    FLAGGED = "flagged"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as lists show it; `engagement`, `talk_ratio` and `checks` are None without audio.

    `subject` and `rating` are None where the platform keeps none.
    """

    id: UUID
    tutor_id: str
    tutor_name: str
    student_name: str
    subject: str | None
    session_number: int
    held_at: datetime
    status: str
    rescheduled_by: str | None
    score: Decimal | None
    engagement: Decimal | None
    talk_ratio: Decimal | None
    checks: Decimal | None
    rating: int | None

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "session", self.id, ("student_name", "subject"))


@dataclass(frozen=True, slots=True)
class SessionDetails:
    """One session with all its metrics; a group of metrics that was never recorded is None, and so is what the platform
    doesn't keep. A metric that it doesn't keep is in no group.
    """

    row: SessionRow
    scheduled_start: datetime
    scheduled_minutes: int | None
    actual_minutes: int | None
    summary: str | None
    technical_issues: bool | None
    technical_issues_description: str | None
    homework_assigned: bool | None
    follow_up_booked: bool | None
    feedback_text: str | None
    audio: Mapping[str, Any] | None
    video: Mapping[str, Any] | None
    screen: Mapping[str, Any] | None

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "session", self.row.id, tuple(_IN_WORDS))


SessionPosition = tuple[datetime, UUID]
"""When a session was held, and its id."""
SessionsPage = Page[SessionRow, SessionPosition]
"""Some of a tutor's sessions, latest first."""


async def recent_sessions(
    conn: AsyncConnection,
    now: datetime,
    shown: SessionsShown = SessionsShown.ALL,
    *,
    limit: int = 20,
    missing: Missing = NOTHING_MISSING,
) -> tuple[SessionRow, ...]:
    """The latest sessions that ended one way or another, of all tutors, latest first."""
    until = literal(now + _DATED_LOOSELY, NaiveUtc)
    completed_at, scheduled_start = sessions.c.completed_at, sessions.c.scheduled_start
    # Two ranges of an index, each read backwards until there are enough.
    latest = union_all(
        _latest(completed_at, limit).where(completed_at <= until, _is_shown(shown)),
        _latest(scheduled_start, limit).where(completed_at.is_(None), scheduled_start <= until, _is_shown(shown)),
    ).subquery("latest")
    query = (
        _rows(joined=_everything(missing), missing=missing)
        .where(sessions.c.id.in_(select(latest.c.id)))
        .order_by(held_at(sessions).desc(), sessions.c.id.desc())
        .limit(at_most(limit))
    )
    return tuple(_to_row(row) for row in await conn.execute(query))


def _latest(at: ColumnElement[datetime], limit: int) -> Select[Any]:
    ended = select(sessions.c.id).where(_has_ended())
    return ended.order_by(at.desc(), sessions.c.id.desc()).limit(at_most(limit))


async def sessions_of(
    conn: AsyncConnection,
    tutor_id: str,
    cursor: Cursor[SessionPosition] | None = None,
    *,
    limit: int = 20,
    missing: Missing = NOTHING_MISSING,
) -> SessionsPage:
    """A tutor's sessions that ended one way or another, latest first: the first ones, or those beside the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: Cursor[SessionPosition] | None, most: int) -> Sequence[SessionRow]:
        order = (held_at(sessions), sessions.c.id)
        theirs = select(sessions.c.id).where(sessions.c.tutor_id == tutor_id, _has_ended()).limit(at_most(most))
        chosen = read_from(theirs, cursor, *order, is_descending=True).subquery("chosen")
        query = _rows(joined=_everything(missing), missing=missing).where(sessions.c.id.in_(select(chosen.c.id)))
        return [_to_row(row) for row in await conn.execute(read_from(query, cursor, *order, is_descending=True))]

    return await read_page(read, cursor, limit, lambda row: (row.held_at, row.id))


async def session_details(
    conn: AsyncConnection, session_id: UUID, *, missing: Missing = NOTHING_MISSING
) -> SessionDetails | None:
    """One session with everything that is known about it, or None."""
    joined = _everything(missing).outerjoin(video, video.c.session_id == sessions.c.id)
    if is_there(screen.c.session_id, missing):
        joined = joined.outerjoin(screen, screen.c.session_id == sessions.c.id)
    query = _rows(
        shown_at(sessions.c.scheduled_start).label("scheduled_start"),
        *(if_there(sessions.c[name], missing).label(name) for name in _DETAILS),
        *(cut(if_there(column, missing), LONGEST_TEXT).label(name) for name, column in _IN_WORDS.items()),
        *(if_there(metrics.c.session_id, missing).label(f"{group}_id") for group, (metrics, _) in _METRICS.items()),
        *(
            number(metrics.c[name]).label(f"{group}_{name}")
            for group, (metrics, names) in _METRICS.items()
            for name in names
            if is_there(metrics.c[name], missing)
        ),
        joined=joined,
        missing=missing,
    ).where(sessions.c.id == session_id)
    row = (await conn.execute(query)).one_or_none()
    return _to_details(row) if row else None


async def tutor_of_session(conn: AsyncConnection, session_id: str) -> str | None:
    """The id of the tutor who holds this session; None where there is no such session."""
    try:
        found: str | None = await conn.scalar(select(sessions.c.tutor_id).where(sessions.c.id == UUID(session_id)))
    except ValueError:
        return None
    return found


def _has_ended() -> ColumnElement[bool]:
    return cast(sessions.c.status, Text).not_in(["scheduled", "in_progress"])


_DETAILS = (
    "scheduled_duration",
    "actual_duration",
    "technical_issues",
    "homework_assigned",
    "follow_up_booked",
)
_IN_WORDS = {
    "summary": sessions.c.ai_summary,
    "technical_issues_description": sessions.c.technical_issues_description,
    "feedback_text": feedback.c.feedback_text,
}
_METRICS = {
    "audio": (audio, AUDIO_METRICS),
    "video": (video, VIDEO_METRICS),
    "screen": (screen, SCREEN_METRICS),
}


def _rows(*more: ColumnElement[Any], joined: FromClause, missing: Missing) -> Select[Any]:
    return select(
        sessions.c.id,
        sessions.c.tutor_id,
        shown_name(_TUTOR, missing).label("tutor_name"),
        shown_name(_STUDENT, missing).label("student_name"),
        cut(if_there(subjects.c.name, missing), LONGEST_LINE).label("subject"),
        sessions.c.session_number,
        shown_at(held_at(sessions)).label("held_at"),
        sessions.c.status,
        sessions.c.rescheduled_by,
        sessions.c.overall_session_score.label("score"),
        number(audio.c.student_engagement_score).label("engagement"),
        audio.c.tutor_talk_ratio.label("talk_ratio"),
        audio.c.tutor_checks_understanding_count.label("checks"),
        if_there(feedback.c.student_satisfaction_rating, missing).label("rating"),
        *more,
    ).select_from(joined)


_TUTOR = users.alias("tutor")
_STUDENT = users.alias("student")


def _everything(missing: Missing) -> FromClause:
    joined = (
        sessions.join(_TUTOR, _TUTOR.c.id == sessions.c.tutor_id)
        .join(_STUDENT, _STUDENT.c.id == sessions.c.student_id)
        .outerjoin(audio, audio.c.session_id == sessions.c.id)
    )
    return with_feedback(with_subject(joined, missing), missing)


def _is_shown(shown: SessionsShown) -> ColumnElement[bool]:
    score = sessions.c.overall_session_score
    match shown:
        case SessionsShown.FLAGGED:
            return and_(sessions.c.status == status("completed"), score < FLAGGED_BELOW)
        case SessionsShown.HIGH:
            return and_(sessions.c.status == status("completed"), score >= HIGH_FROM)
    return true()


def _to_row(row: Row[Any]) -> SessionRow:
    return SessionRow(
        id=row.id,
        tutor_id=row.tutor_id,
        tutor_name=row.tutor_name,
        student_name=row.student_name,
        subject=row.subject,
        session_number=row.session_number,
        held_at=row.held_at,
        status=row.status,
        rescheduled_by=row.rescheduled_by,
        score=row.score,
        engagement=row.engagement,
        talk_ratio=row.talk_ratio,
        checks=row.checks,
        rating=row.rating,
    )


def _to_details(row: Row[Any]) -> SessionDetails:
    values = row._mapping  # noqa: SLF001 - Row's API
    return SessionDetails(
        row=_to_row(row),
        scheduled_start=row.scheduled_start,
        scheduled_minutes=row.scheduled_duration,
        actual_minutes=row.actual_duration,
        summary=row.summary,
        technical_issues=row.technical_issues,
        technical_issues_description=row.technical_issues_description,
        homework_assigned=row.homework_assigned,
        follow_up_booked=row.follow_up_booked,
        feedback_text=row.feedback_text,
        audio=_group(values, "audio"),
        video=_group(values, "video"),
        screen=_group(values, "screen"),
    )


def _group(values: Mapping[Any, Any], group: str) -> Mapping[str, Any] | None:
    if values[f"{group}_id"] is None:
        return None
    _, names = _METRICS[group]
    return {name: values[f"{group}_{name}"] for name in names if f"{group}_{name}" in values}
