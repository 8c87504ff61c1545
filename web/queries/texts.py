"""The whole of a client's text, where pages and documents show its beginning: which texts there are, and a slice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, FromClause, Integer, String, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import Missing
from database.tables import (
    alert_resolutions,
    alerts,
    coaching_notes,
    feedback,
    sessions,
    subjects,
    tutor_insights,
    users,
)
from rules.life import is_its_resolution
from web.http.paths import path_part
from web.queries.expressions import Cut, is_there

SLICE = 1024 * 1024
"""Characters that are read at a time. For each slice the server unpacks a compressed text anew."""

WholeTexts = dict[str, str]
"""Where the whole of texts is that were cut: what and whose (`alert/UUID/description`), by the field that was cut."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a text of something with an id stands, and the tutor whom it is about; private ones are for admins only."""

    text: Column[Any]
    of: FromClause
    id: Column[Any]
    tutor_id: Column[Any]
    is_private: bool = False


def _named(by: FromClause, on: ColumnElement[bool]) -> FromClause:
    return by.join(users, on)


_TAUGHT = sessions.outerjoin(feedback, feedback.c.session_id == sessions.c.id)
_RESOLVED = alerts.join(alert_resolutions, is_its_resolution())
_ALERT = (alerts.c.id, alerts.c.tutor_id)
_SESSION = (sessions.c.id, sessions.c.tutor_id)
_NOTE = (coaching_notes.c.id, coaching_notes.c.tutor_id)

SOURCES: Mapping[tuple[str, str], Source] = {
    ("user", "name"): Source(users.c.name, users, users.c.id, users.c.id),
    ("user", "tutor_name"): Source(users.c.name, users, users.c.id, users.c.id),
    ("alert", "title"): Source(alerts.c.title, alerts, *_ALERT),
    ("alert", "description"): Source(alerts.c.description, alerts, *_ALERT),
    ("alert", "action_taken"): Source(alerts.c.action_taken, alerts, *_ALERT, is_private=True),
    ("alert", "acknowledged_by"): Source(
        users.c.name, _named(alerts, users.c.id == alerts.c.acknowledged_by), *_ALERT, is_private=True
    ),
    ("alert", "resolved_by"): Source(
        users.c.name, _named(_RESOLVED, users.c.id == alert_resolutions.c.resolved_by), *_ALERT, is_private=True
    ),
    ("alert", "message_to_tutor"): Source(alert_resolutions.c.message_to_tutor, _RESOLVED, *_ALERT),
    ("insight", "text"): Source(
        tutor_insights.c.display_text, tutor_insights, tutor_insights.c.id, tutor_insights.c.tutor_id
    ),
    ("note", "content"): Source(coaching_notes.c.content, coaching_notes, *_NOTE, is_private=True),
    ("note", "author"): Source(
        users.c.name, _named(coaching_notes, users.c.id == coaching_notes.c.created_by), *_NOTE, is_private=True
    ),
    ("session", "student_name"): Source(users.c.name, _named(sessions, users.c.id == sessions.c.student_id), *_SESSION),
    ("session", "subject"): Source(
        subjects.c.name, sessions.join(subjects, subjects.c.id == sessions.c.subject_id), *_SESSION
    ),
    ("session", "summary"): Source(sessions.c.ai_summary, sessions, *_SESSION),
    ("session", "technical_issues_description"): Source(sessions.c.technical_issues_description, sessions, *_SESSION),
    ("session", "feedback_text"): Source(feedback.c.feedback_text, _TAUGHT, *_SESSION),
}
"""Every text of a client's that is shown cut, by what it belongs to and the field's name."""


def whole_texts(row: object, kind: str, row_id: object, fields: Sequence[str]) -> WholeTexts:
    """Where the whole is of those of the row's fields that were cut."""
    return {
        field: f"{kind}/{path_part(str(row_id))}/{field}" for field in fields if isinstance(getattr(row, field), Cut)
    }


async def slice_of_text(
    conn: AsyncConnection, source: Source, row_id: str, start: int, *, missing: Missing
) -> str | None:
    """The text's characters from `start` on (the first is 0), none after its end; None where there is no such text."""
    part = func.substr(source.text, literal(start + 1, Integer), literal(SLICE, Integer), type_=String)
    return await _of_text(conn, source, row_id, part, missing)


async def tutor_of_text(conn: AsyncConnection, source: Source, row_id: str, *, missing: Missing) -> str | None:
    """The id of the tutor whom the text is about; None where there is no such text."""
    return await _of_text(conn, source, row_id, source.tutor_id, missing)


async def _of_text(
    conn: AsyncConnection, source: Source, row_id: str, wanted: ColumnElement[str], missing: Missing
) -> str | None:
    key = _to_key(source.id, row_id)
    if key is None or not is_there(source.text, missing):
        return None
    query = select(wanted).select_from(source.of).where(source.id == key, source.text.is_not(None))
    found: str | None = (await conn.execute(query)).scalar_one_or_none()
    return found


def _to_key(column: Column[Any], text: str) -> str | UUID | None:
    if isinstance(column.type, String):
        return text
    try:
        return UUID(text)
    except ValueError:
        return None
