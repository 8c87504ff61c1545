"""Reads why alerts stand: the measured value, its limit, and the sessions that counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, FromClause, Integer, Row, Select, Uuid, any_, bindparam, case, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from database.platform import NOTHING_MISSING, Missing
from database.tables import alert_evidence, alerts, audio, sessions, subjects
from rules.life import is_its_evidence
from web.queries.expressions import LONGEST_LINE, cut, held_at, if_there, number, shown_at, with_subject
from web.queries.texts import WholeTexts, whole_texts


@dataclass(frozen=True, slots=True)
class EvidenceSession:
    """A session that an alert or an insight rests on."""

    id: UUID
    held_at: datetime
    subject: str | None
    status: str
    score: Decimal | None
    engagement: Decimal | None
    talk_ratio: Decimal | None
    checks: Decimal | None

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "session", self.id, ("subject",))


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


NO_EVIDENCE = Evidence(None, None, 0, ())


async def evidence_of(
    conn: AsyncConnection, alert_ids: Sequence[UUID], *, sessions_each: int, missing: Missing = NOTHING_MISSING
) -> Mapping[UUID, Evidence]:
    """The evidence of each of these alerts; an alert that has none is absent. One statement."""
    rows = await conn.execute(_evidence(missing), {"alert_ids": list(alert_ids), "sessions_each": sessions_each})
    return {alert_id: _to_evidence(list(group)) for alert_id, group in groupby(rows, key=lambda row: row.alert_id)}


async def sessions_by_id(
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
    return with_subject(sessions.outerjoin(audio, audio.c.session_id == sessions.c.id), missing)


def _session_columns(missing: Missing) -> tuple[Any, ...]:
    return (
        shown_at(held_at(sessions)).label("held_at"),
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
        subject=row.subject,
        status=row.status,
        score=row.score,
        engagement=row.engagement,
        talk_ratio=row.talk_ratio,
        checks=row.checks,
    )
