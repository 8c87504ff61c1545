"""The life of an alert: open, acknowledged, resolved. Only a person resolves."""

from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, array, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import TutorwatchError
from database.tables import (
    alert_attention,
    alert_evidence,
    alert_history,
    alert_resolutions,
    alerts,
    coaching_notes,
)
from rules.tutor_locks import LOCK_SEED


class Outcome(StrEnum):
    """The outcome of an alert, as stated by the person who resolves it."""

    COACHED = "coached"
    NOT_ACTIONABLE = "not_actionable"
    CONDITION_CLEARED = "condition_cleared"
    """It was no longer met."""
    OTHER = "other"


class Event(StrEnum):
    """What happens to an alert, as its history has it."""

    OPENED = "opened"
    VALUE_CHANGED = "value_changed"
    NO_LONGER_MET = "no_longer_met"
    MET_AGAIN = "met_again"
    WORSE = "worse"
    """Than when it was acknowledged."""
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"


class UnknownAlertError(TutorwatchError):
    """There is no alert with that id."""


class AnotherOpenError(TutorwatchError):
    """The tutor has another open alert of the type, so that this one can't be reopened; resolve that first."""

    def __init__(self) -> None:
        super().__init__("The tutor has another open alert of this type")


class MetAgainError(TutorwatchError):
    """The alert's condition is met by now, so that it isn't resolved as no longer met; look at it again."""

    def __init__(self) -> None:
        super().__init__("The alert's condition is met again")


class AlreadyDoneError(TutorwatchError):
    """Somebody was first; nothing was changed. `by` is None where that person isn't on record."""

    def __init__(self, what: str, by: str | None, at: datetime | None) -> None:
        super().__init__(f"The alert is {what} already")
        self.what = what
        self.by = by
        self.at = at


async def acknowledge(conn: AsyncConnection, alert_id: UUID, *, by: str, now: datetime) -> str:
    """Notes that `by` (a user's id) attends to the open alert; the caller commits. Returns the tutor's id.

    What it is based on now is kept: it is worse once there is more. Raises AlreadyDoneError if somebody attends to it
    already or it is resolved, UnknownAlertError.
    """
    tutor_id: str | None = await conn.scalar(
        update(alerts)
        .where(alerts.c.id == alert_id, is_unattended())
        .values(acknowledged=True, acknowledged_by=by, acknowledged_at=now)
        .returning(alerts.c.tutor_id)
    )
    if tutor_id is None:
        raise await _why_not(conn, alert_id)
    await conn.execute(_keep_seen(), {"id": alert_id})
    await _note(conn, alert_id, tutor_id, Event.ACKNOWLEDGED, by)
    return tutor_id


@cache
def _keep_seen() -> Insert:
    """The statement that keeps what an alert is based on as it is acknowledged."""
    sessions = func.coalesce(alert_evidence.c.session_ids, array([], type_=Uuid), type_=ARRAY(Uuid))
    seen = {
        "acknowledged_at": alerts.c.acknowledged_at,
        "session_ids": sessions,
        "shown": alert_evidence.c.shown,
        "worse_since": cast(null(), alert_attention.c.worse_since.type),
    }
    of_alert = (
        select(alerts.c.id, alerts.c.tutor_id, *seen.values())
        .select_from(alerts.outerjoin(alert_evidence, is_its_evidence()))
        .where(alerts.c.id == bindparam("id"))
    )
    kept = insert(alert_attention).from_select(["alert_id", "tutor_id", *seen], of_alert)
    return kept.on_conflict_do_update(index_elements=["alert_id"], set_={name: kept.excluded[name] for name in seen})


async def unacknowledge(conn: AsyncConnection, alert_id: UUID, *, by: str) -> str:
    """Takes an acknowledgement of the open alert back; the caller commits. Returns the tutor's id.

    Raises AlreadyDoneError if nobody has acknowledged it or it is resolved, UnknownAlertError.
    """
    tutor_id: str | None = await conn.scalar(
        update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.acknowledged, ~alerts.c.resolved)
        .values(acknowledged=False, acknowledged_by=None, acknowledged_at=None)
        .returning(alerts.c.tutor_id)
    )
    if tutor_id is None:
        raise await _why_not(conn, alert_id)
    await conn.execute(
        update(alert_attention)
        .where(alert_attention.c.alert_id == alert_id)
        .values(acknowledged_at=None, session_ids=None, shown=None, worse_since=None)
    )
    await _note(conn, alert_id, tutor_id, Event.UNACKNOWLEDGED, by)
    return tutor_id


async def reopen(conn: AsyncConnection, alert_id: UUID, *, by: str) -> str:
    """Takes the alert's resolution back, with its coaching note and the acknowledgement that came with it.

    Its evidence is an open alert's again. Returns the tutor's id; the caller commits.

    Raises AnotherOpenError if the tutor has an open alert of the type, AlreadyDoneError if the alert isn't resolved,
    UnknownAlertError.
    """
    found = await conn.execute(_REOPEN, {"alert_id": alert_id, "lock_seed": LOCK_SEED})
    tutor_id, refused = found.one()
    if refused == "unknown":
        raise UnknownAlertError(f"There is no alert {alert_id}")
    if refused == "open":
        raise AlreadyDoneError("reopened", None, None)
    if refused:
        raise AnotherOpenError
    await _note(conn, alert_id, tutor_id, Event.REOPENED, by)
    return str(tutor_id)


_REOPEN = text("SELECT concerns, refused FROM tutorwatch.reopen_alert(:alert_id, :lock_seed)").bindparams(
    bindparam("alert_id", type_=Uuid), bindparam("lock_seed", type_=BigInteger)
)


async def _note(
    conn: AsyncConnection, alert_id: UUID, tutor_id: str, event: Event, by: str, details: str | None = None
) -> None:
    entry = {"alert_id": alert_id, "tutor_id": tutor_id, "event": event.value, "actor": by, "details": details}
    await conn.execute(insert(alert_history).values(entry))


async def resolve(
    conn: AsyncConnection,
    alert_id: UUID,
    *,
    by: str,
    action_taken: str,
    outcome: Outcome,
    now: datetime,
    message_to_tutor: str | None = None,
    only_if_not_met: bool = False,
    keeps_notes: bool = True,
) -> str:
    """Resolves the alert, and leaves a coaching note that says so, where the platform keeps notes; the caller commits.
    Returns the tutor's id.

    Only admins read the action taken, the outcome and the note; `message_to_tutor` is what the tutor reads.
    An alert nobody acknowledged is acknowledged by the same act. Its evidence is consumed from then on.
    Raises AlreadyDoneError if it was resolved before, MetAgainError if it is to be resolved `only_if_not_met` and its
    condition is met, UnknownAlertError, ValueError for an empty action.
    """
    if not (action := action_taken.strip()):
        raise ValueError("Say which action was taken")
    if only_if_not_met and not await _is_not_met(conn, alert_id):
        raise MetAgainError
    resolved = {"resolved": True, "resolved_at": now, "action_taken": action} | _acknowledged_too(by, now)
    result = await conn.execute(
        update(alerts)
        .where(alerts.c.id == alert_id, ~alerts.c.resolved)
        .values(resolved)
        .returning(alerts.c.tutor_id, alerts.c.title)
    )
    alert = result.one_or_none()
    if alert is None:
        raise await _why_not(conn, alert_id)
    message = (message_to_tutor or "").strip() or None
    resolution = {"resolved_by": by, "outcome": outcome.value, "resolved_at": now, "message_to_tutor": message}
    await conn.execute(_keep_resolution(alert_id, resolution | {"tutor_id": alert.tutor_id}))
    await _note(conn, alert_id, alert.tutor_id, Event.RESOLVED, by, outcome.value)
    if keeps_notes:
        content = f"Alert resolved ({outcome.value.replace('_', ' ')}): {alert.title}. {action}"
        await add_note(conn, alert.tutor_id, content, by=by, now=now, note_type="system")
    return str(alert.tutor_id)


def _acknowledged_too(by: str, now: datetime) -> dict[str, Any]:
    """The columns of an acknowledgement by the same act, unless there is one."""
    return {
        "acknowledged": True,
        "acknowledged_by": case((alerts.c.acknowledged, alerts.c.acknowledged_by), else_=by),
        "acknowledged_at": case((alerts.c.acknowledged, alerts.c.acknowledged_at), else_=now),
    }


async def _is_not_met(conn: AsyncConnection, alert_id: UUID) -> bool:
    """Return whether the alert's condition isn't met, as far as is known; until the transaction ends it stays so."""
    # In this order: a generation locks the alert before it writes its evidence.
    await conn.execute(select(alerts.c.id).where(alerts.c.id == alert_id).with_for_update(key_share=True))
    met = exists().where(alert_evidence.c.alert_id == alert_id, alert_evidence.c.not_met_since.is_(None))
    return not await conn.scalar(select(met))


async def add_note(
    conn: AsyncConnection, tutor_id: str, content: str, *, by: str, now: datetime, note_type: str = "manual"
) -> None:
    """Adds a coaching note about the tutor, which only admins read; the caller commits."""
    values = {"tutor_id": tutor_id, "note_type": note_type, "content": content, "created_by": by, "created_at": now}
    await conn.execute(insert(coaching_notes).values(values))


def _keep_resolution(alert_id: UUID, resolution: dict[str, Any]) -> Insert:
    """The statement that records a resolution. It replaces an earlier one, if another client has reopened the alert."""
    return (
        insert(alert_resolutions)
        .values(alert_id=alert_id, **resolution)
        .on_conflict_do_update(index_elements=["alert_id"], set_=resolution)
    )


def is_unattended() -> ColumnElement[bool]:
    """Return whether an alert is open, and acknowledged neither at all nor since it got worse or was reopened."""
    since = or_(is_worse(), alert_attention.c.reopened_at > alerts.c.acknowledged_at)
    again = exists().where(alert_attention.c.alert_id == alerts.c.id, since).correlate(alerts)
    return and_(~alerts.c.resolved, or_(~alerts.c.acknowledged, again))


def is_worse() -> ColumnElement[bool]:
    """Return whether an alert got worse since its present acknowledgement, by its row of `alert_attention`."""
    return and_(
        alerts.c.acknowledged,
        alert_attention.c.worse_since.is_not(None),
        alert_attention.c.acknowledged_at.is_not_distinct_from(alerts.c.acknowledged_at),
    )


def is_its_evidence() -> ColumnElement[bool]:
    """Return whether the row of `alert_evidence` is the alert's: evidence follows an alert that a client moves."""
    return alert_evidence.c.alert_id == alerts.c.id


def is_its_resolution() -> ColumnElement[bool]:
    """Return whether the row of `alert_resolutions` is about the alert's present resolution, not an earlier one."""
    return and_(
        alert_resolutions.c.alert_id == alerts.c.id,
        alerts.c.resolved,
        alert_resolutions.c.resolved_at == alerts.c.resolved_at,
    )


async def _why_not(conn: AsyncConnection, alert_id: UUID) -> UnknownAlertError | AlreadyDoneError:
    found = await conn.execute(
        select(
            alerts.c.resolved,
            alerts.c.resolved_at,
            alert_resolutions.c.resolved_by,
            alerts.c.acknowledged,
            alerts.c.acknowledged_by,
            alerts.c.acknowledged_at,
        )
        .select_from(alerts.outerjoin(alert_resolutions, is_its_resolution()))
        .where(alerts.c.id == alert_id)
    )
    alert = found.one_or_none()
    if alert is None:
        return UnknownAlertError(f"There is no alert {alert_id}")
    if alert.resolved:
        return AlreadyDoneError("resolved", alert.resolved_by, alert.resolved_at)
    if not alert.acknowledged:
        return AlreadyDoneError("took back the acknowledgement of", None, None)
    return AlreadyDoneError("acknowledged", alert.acknowledged_by, alert.acknowledged_at)
