"""Reads what alerts and insights rest on: measured value, threshold and sessions; and what happened to an alert."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Row,
    Select,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from database.platform import NOTHING_MISSING, Missing
from database.tables import alert_evidence, alert_history, alerts, audio, sessions, subjects, tutor_insights, users
from rules.life import is_its_evidence
from web.queries.expressions import (
    LONGEST_LINE,
    LONGEST_PARAGRAPH,
    cut,
    held_at,
    if_there,
    number,
    shown_at,
    shown_name,
    with_subject,
)
from web.queries.paging import Cursor, Page, read_from, read_page
from web.queries.texts import WholeTexts, whole_texts


@dataclass(frozen=True, slots=True)
class EvidenceSession:
    """A session that an alert or an insight rests on."""

    id: UUID
    held_at: datetime
    student_name: str
    subject: str | None
    status: str
    score: Decimal | None
    engagement: Decimal | None
    talk_ratio: Decimal | None
    checks: Decimal | None

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "session", self.id, ("student_name", "subject"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an alert stands. Value and threshold are None for alerts that Tutorwatch didn't measure.

    `sessions` holds the latest; `session_count` counts all of them, deleted ones included.
    """

    value: Decimal | None
    threshold: Decimal | None
    session_count: int
    sessions: tuple[EvidenceSession, ...]

    @property
    def more(self) -> int:
        """How many sessions are not in `sessions`."""
        return max(0, self.session_count - len(self.sessions))


@dataclass(frozen=True, slots=True)
class InsightRow:
    """An active insight with the latest sessions that show it, those that still exist."""

    id: UUID
    insight_type: str
    category: str
    text: str
    metric_value: Decimal | None
    detected_at: datetime
    last_confirmed_at: datetime | None
    samples: tuple[EvidenceSession, ...]

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "insight", self.id, ("text",))


NO_EVIDENCE = Evidence(None, None, 0, ())


async def evidence_of(
    conn: AsyncConnection, alert_ids: Sequence[UUID], *, sessions_each: int, missing: Missing = NOTHING_MISSING
) -> Mapping[UUID, Evidence]:
    """The evidence of each of these alerts; an alert that has none is absent. One statement."""
    rows = await conn.execute(_evidence(missing), {"alert_ids": list(alert_ids), "sessions_each": sessions_each})
    return {alert_id: _to_evidence(list(group)) for alert_id, group in groupby(rows, key=lambda row: row.alert_id)}


async def insights_of(
    conn: AsyncConnection, tutor_id: str, *, shown_by: UUID | None = None, missing: Missing = NOTHING_MISSING
) -> tuple[InsightRow, ...]:
    """A tutor's active insights with their sample sessions; with `shown_by`, those that rest on that session."""
    query = (
        select(
            tutor_insights.c.id,
            tutor_insights.c.insight_type,
            tutor_insights.c.category,
            cut(tutor_insights.c.display_text, LONGEST_PARAGRAPH).label("display_text"),
            number(tutor_insights.c.metric_value).label("metric_value"),
            shown_at(tutor_insights.c.detected_at).label("detected_at"),
            shown_at(tutor_insights.c.last_confirmed_at).label("last_confirmed_at"),
            _samples().label("sample_sessions"),
        )
        .where(tutor_insights.c.tutor_id == tutor_id, tutor_insights.c.is_active)
        .order_by(tutor_insights.c.insight_type, tutor_insights.c.category, tutor_insights.c.id)
    )
    if shown_by:
        query = query.where(literal(shown_by) == any_(tutor_insights.c.sample_sessions))
    rows = list(await conn.execute(query))
    shown = [session_id for row in rows for session_id in row.sample_sessions or ()]
    samples = await _sessions_by_id(conn, shown, missing=missing)
    return tuple(
        InsightRow(
            id=row.id,
            insight_type=row.insight_type,
            category=row.category,
            text=row.display_text,
            metric_value=row.metric_value,
            detected_at=row.detected_at,
            last_confirmed_at=row.last_confirmed_at,
            samples=tuple(samples[sample] for sample in row.sample_sessions or () if sample in samples),
        )
        for row in rows
    )


def _samples() -> ColumnElement[Any]:
    """An insight's sample sessions in one row, however many dimensions a client's array has."""
    each = select(func.unnest(tutor_insights.c.sample_sessions)).correlate(tutor_insights)
    return func.array(each.scalar_subquery(), type_=ARRAY(Uuid))


async def _sessions_by_id(
    conn: AsyncConnection, session_ids: Sequence[UUID], *, missing: Missing = NOTHING_MISSING
) -> Mapping[UUID, EvidenceSession]:
    """Those of these sessions that still exist."""
    query = (
        select(sessions.c.id.label("session_id"), *_session_columns(missing))
        .select_from(_described_sessions(missing))
        .where(sessions.c.id == any_(literal(list(session_ids), ARRAY(Uuid))))
    )
    return {row.session_id: _to_session(row) for row in await conn.execute(query)}


@cache
def _evidence(missing: Missing) -> Select[Any]:
    named = case((alerts.c.session_id.is_not(None), func.array_append(literal([], ARRAY(Uuid)), alerts.c.session_id)))
    behind = func.coalesce(alert_evidence.c.session_ids, named, type_=ARRAY(Uuid))
    rested = (
        select(
            alerts.c.id.label("alert_id"),
            alert_evidence.c.value,
            alert_evidence.c.threshold,
            func.cardinality(behind, type_=Integer).label("session_count"),
            behind.label("session_ids"),
        )
        .select_from(alerts.outerjoin(alert_evidence, is_its_evidence()))
        .where(alerts.c.id == any_(bindparam("alert_ids", type_=ARRAY(Uuid))), behind.is_not(None))
    ).cte("rested")
    found = _sessions_in(rested.c.session_ids, missing)
    return (
        select(rested.c.alert_id, rested.c.value, rested.c.threshold, rested.c.session_count, *found.c)
        .select_from(rested.outerjoin(found, true()))
        .order_by(rested.c.alert_id, found.c.held_at.desc(), found.c.session_id.desc())
    )


def _sessions_in(session_ids: Any, missing: Missing) -> LateralFromClause:
    """The latest sessions of an array of ids."""
    return (
        select(sessions.c.id.label("session_id"), *_session_columns(missing))
        .select_from(_described_sessions(missing))
        .where(sessions.c.id == any_(session_ids))
        .order_by(held_at(sessions).desc(), sessions.c.id.desc())
        .limit(bindparam("sessions_each", type_=Integer))
        .lateral("found")
    )


def _described_sessions(missing: Missing) -> FromClause:
    joined = sessions.join(_STUDENT, _STUDENT.c.id == sessions.c.student_id)
    return with_subject(joined.outerjoin(audio, audio.c.session_id == sessions.c.id), missing)


_STUDENT = users.alias("student")


def _session_columns(missing: Missing) -> tuple[Any, ...]:
    return (
        shown_at(held_at(sessions)).label("held_at"),
        shown_name(_STUDENT, missing).label("student_name"),
        cut(if_there(subjects.c.name, missing), LONGEST_LINE).label("subject"),
        sessions.c.status,
        sessions.c.overall_session_score.label("score"),
        number(audio.c.student_engagement_score).label("engagement"),
        audio.c.tutor_talk_ratio.label("talk_ratio"),
        audio.c.tutor_checks_understanding_count.label("checks"),
    )


def _to_evidence(rows: list[Row[Any]]) -> Evidence:
    first = rows[0]
    return Evidence(
        value=first.value,
        threshold=first.threshold,
        session_count=first.session_count,
        sessions=tuple(_to_session(row) for row in rows if row.session_id),
    )


def _to_session(row: Row[Any]) -> EvidenceSession:
    return EvidenceSession(
        id=row.session_id,
        held_at=row.held_at,
        student_name=row.student_name,
        subject=row.subject,
        status=row.status,
        score=row.score,
        engagement=row.engagement,
        talk_ratio=row.talk_ratio,
        checks=row.checks,
    )


EVENTS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something that happened to an alert; `actor` is None where Tutorwatch did it, or that person is gone."""

    at: datetime
    event: str
    actor: str | None
    details: str | None
    is_noticed: bool
    """Whether another client did it, by then."""
    number: int
    """Later entries have larger numbers."""


HistoryPosition = tuple[int]
HistoryPage = Page[HistoryEntry, HistoryPosition]


async def history_of(
    conn: AsyncConnection,
    alert_id: UUID,
    cursor: Cursor[HistoryPosition] | None = None,
    *,
    limit: int = EVENTS_PER_PAGE,
) -> HistoryPage:
    """What happened to the alert, latest first; for admins only: the latest entries, or those beside the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: Cursor[HistoryPosition] | None, most: int) -> Sequence[HistoryEntry]:
        query = (
            select(
                alert_history.c.at,
                alert_history.c.event,
                cut(users.c.name, LONGEST_LINE).label("actor"),
                cut(alert_history.c.details, LONGEST_PARAGRAPH).label("details"),
                alert_history.c.is_noticed,
                alert_history.c.id,
            )
            .select_from(alert_history.outerjoin(users, users.c.id == alert_history.c.actor))
            .where(alert_history.c.alert_id == alert_id)
            .limit(most)
        )
        query = read_from(query, cursor, alert_history.c.id, is_descending=True)
        return [HistoryEntry(*row) for row in await conn.execute(query)]

    return await read_page(read, cursor, limit, lambda entry: (entry.number,))
