"""Deliveries in the database: claimed one at a time, and what came of them recorded. The caller commits.

A claim is a time, not a transaction: sending takes long, and happens outside any. Whose process died is claimed again
once its lease is over.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.one_line import one_line
from rules.registry import ALERT_RULES
from telling.channel import Target
from telling.message import Message
from telling.result import Outcome, Result

LEASE_SECONDS = 120.0
"""Longer than any attempt takes."""
TOO_OLD = timedelta(hours=24)
"""What is older when it is first tried is no news any more."""
DELAYS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""The waits between attempts, as Standard Webhooks has them: ten attempts in about three days."""
JITTER = 0.1
"""By what share a wait is longer, at random: what failed together isn't tried again together."""
LONGEST_PAUSE = timedelta(minutes=1)
"""How long a target that fails is left alone by other deliveries, unless it asks for more."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to send, until the lease is over."""

    id: UUID
    channel_id: UUID
    kind: str
    target: Target
    attempts: int
    """This one included."""
    was_claimed: bool
    """Whether a process had it that died: it may have been sent."""
    is_too_old: bool
    is_gone: bool
    """Whether the alert is gone."""
    is_over: bool
    """Whether the alert is resolved, so that only its resolution is worth telling."""
    message: Message


_DUE = text("""
    SELECT DISTINCT delivery.channel_id
    FROM tutorwatch.deliveries AS delivery JOIN tutorwatch.channels AS channel ON channel.id = delivery.channel_id
    WHERE delivery.state = 'waiting' AND delivery.next_attempt_at <= clock_timestamp()
      AND (delivery.claimed_at IS NULL OR delivery.claimed_at < clock_timestamp() - make_interval(secs => :lease))
      AND channel.is_on AND coalesce(channel.paused_until <= clock_timestamp(), true)
""")
_NEXT_IN = text("""
    SELECT extract(epoch FROM min(greatest(
        delivery.next_attempt_at, channel.paused_until, delivery.claimed_at + make_interval(secs => :lease)
    )) - clock_timestamp())::float8
    FROM tutorwatch.deliveries AS delivery JOIN tutorwatch.channels AS channel ON channel.id = delivery.channel_id
    WHERE delivery.state = 'waiting' AND channel.is_on
""")
_CLAIM = text("""
    WITH due AS MATERIALIZED (
        SELECT delivery.id, delivery.claimed_at IS NOT NULL AS was_claimed
        FROM tutorwatch.deliveries AS delivery JOIN tutorwatch.channels AS channel ON channel.id = delivery.channel_id
        WHERE delivery.channel_id = :channel_id AND delivery.state = 'waiting'
          AND delivery.next_attempt_at <= clock_timestamp()
          AND (delivery.claimed_at IS NULL OR delivery.claimed_at < clock_timestamp() - make_interval(secs => :lease))
          AND channel.is_on AND coalesce(channel.paused_until <= clock_timestamp(), true)
        ORDER BY delivery.next_attempt_at, delivery.history_id
        LIMIT 1 FOR UPDATE OF delivery SKIP LOCKED
    ), claimed AS (
        UPDATE tutorwatch.deliveries AS delivery SET claimed_at = clock_timestamp(), attempts = attempts + 1
        FROM due WHERE delivery.id = due.id
        RETURNING delivery.*, due.was_claimed
    )
    SELECT claimed.id, claimed.channel_id, channel.kind, channel.target, channel.secret, claimed.attempts,
           claimed.was_claimed, claimed.created_at, claimed.alert_id, claimed.event, claimed.details,
           coalesce(alert.tutor_id, claimed.tutor_id) AS tutor_id, users.name AS tutor_name,
           alert.id IS NULL AS is_gone, alert.resolved, alert.alert_type::text AS type,
           alert.severity::text AS severity, alert.title,
           alert.description, evidence.value, evidence.threshold, clock_timestamp() AS now
    FROM claimed
    JOIN tutorwatch.channels AS channel ON channel.id = claimed.channel_id
    LEFT JOIN public.alerts AS alert ON alert.id = claimed.alert_id
    LEFT JOIN tutorwatch.alert_evidence AS evidence ON evidence.alert_id = claimed.alert_id
    LEFT JOIN public.users AS users ON users.id = coalesce(alert.tutor_id, claimed.tutor_id)
""").bindparams(bindparam("channel_id", type_=Uuid))


async def load_due(conn: AsyncConnection, *, lease_seconds: float = LEASE_SECONDS) -> list[UUID]:
    """Return the channels by which something is to be sent now."""
    return list(await conn.scalars(_DUE, {"lease": lease_seconds}))


async def seconds_to_next(conn: AsyncConnection, *, lease_seconds: float = LEASE_SECONDS) -> float | None:
    """Return when the next attempt is due; None where nothing waits."""
    found: float | None = await conn.scalar(_NEXT_IN, {"lease": lease_seconds})
    return found


async def claim(
    conn: AsyncConnection, channel_id: UUID, dashboard_url: str, *, lease_seconds: float = LEASE_SECONDS
) -> Claimed | None:
    """Return a delivery of the channel that is due and that nobody else has; None if there is none."""
    found = (await conn.execute(_CLAIM, {"channel_id": channel_id, "lease": lease_seconds})).one_or_none()
    if found is None:
        return None
    return Claimed(
        found.id,
        found.channel_id,
        found.kind,
        Target(found.target, found.secret),
        found.attempts,
        found.was_claimed,
        is_too_old=found.attempts == 1 and found.now - found.created_at > TOO_OLD,
        is_gone=found.is_gone,
        is_over=bool(found.resolved) and found.event != "resolved",
        message=_message(found, dashboard_url),
    )


def _message(found: Any, dashboard_url: str) -> Message:
    rule = ALERT_RULES.get(found.type)
    return Message(
        id=found.id,
        alert_id=found.alert_id,
        tutor_id=found.tutor_id,
        tutor_name=found.tutor_name or found.tutor_id,
        type=found.type or "",
        label=rule.label if rule else (found.title or ""),
        severity=found.severity or "",
        event=found.event,
        at=found.created_at.astimezone(UTC),
        sentence=found.description or "",
        details=found.details or "",
        value=found.value,
        threshold=found.threshold,
        link=f"{dashboard_url.rstrip('/')}/alerts/{found.alert_id}",
    )


_RECORD = text("""
    UPDATE tutorwatch.deliveries
    SET state = :state, claimed_at = NULL, last_error = :error,
        next_attempt_at = clock_timestamp() + make_interval(secs => :delay),
        delivered_at = CASE WHEN :state = 'delivered' THEN clock_timestamp() END
    WHERE id = :id AND state = 'waiting'
""")
_PAUSE = text("""
    UPDATE tutorwatch.channels SET paused_until = clock_timestamp() + make_interval(secs => :pause) WHERE id = :id
""")
_SWITCH_OFF = text("""
    UPDATE tutorwatch.channels SET is_on = false, switched_off_because = :error WHERE id = :id AND is_on
""")
_STATES = {
    Outcome.DELIVERED: "delivered",
    Outcome.RETRY: "waiting",
    Outcome.PERMANENT: "given_up",
    Outcome.GIVEN_UP: "given_up",
    Outcome.AMBIGUOUS: "ambiguous",
}


def settled(claimed: Claimed, result: Result) -> Result:
    """Return the result, which is to be given up where it was the last attempt."""
    if result.outcome is Outcome.RETRY and claimed.attempts > len(DELAYS):
        return Result(Outcome.GIVEN_UP, f"after {claimed.attempts} attempts: {result.error}")
    return result


def delay(attempts: int, after: timedelta | None) -> timedelta:
    """Return how long to wait after so many attempts: at least as long as the receiver asks for."""
    planned = DELAYS[min(attempts, len(DELAYS)) - 1] * (1 + random.uniform(0, JITTER))  # nosec B311  # noqa: S311
    return max(planned, after or timedelta())


async def record(conn: AsyncConnection, claimed: Claimed, result: Result) -> None:
    """Records what came of an attempt; a channel whose target fails is left alone for a moment, or switched off."""
    wait = delay(claimed.attempts, result.after) if result.outcome is Outcome.RETRY else timedelta()
    error = one_line(result.error)[:500] or None
    values = {"id": claimed.id, "state": _STATES[result.outcome], "error": error, "delay": wait.total_seconds()}
    await conn.execute(_RECORD, values)
    if result.outcome is Outcome.RETRY:
        pause = max(min(wait, LONGEST_PAUSE), result.after or timedelta())
        await conn.execute(_PAUSE, {"id": claimed.channel_id, "pause": pause.total_seconds()})
    elif result.outcome is Outcome.PERMANENT:
        await conn.execute(_SWITCH_OFF, {"id": claimed.channel_id, "error": error})


def sample(dashboard_url: str) -> Message:
    """Return the message by which a channel is tested."""
    nobody = UUID(int=0)
    return Message(
        id=uuid4(),
        alert_id=nobody,
        tutor_id="test",
        tutor_name="nobody",
        type="test",
        label="A test of this channel",
        severity="test",
        event="test",
        at=datetime.now(UTC),
        sentence="If you can read this, alerts arrive here. No tutor is concerned.",
        details="",
        value=None,
        threshold=None,
        link=dashboard_url,
    )
