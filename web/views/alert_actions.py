"""Acknowledging, resolving, and taking either back, for forms and programs alike."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform_needs import Feature
from rules import life
from web import queries
from web.auth.audit import Action, Entry, actor_of, log, write
from web.auth.identity import IDENTITY
from web.http.inputs import Resolution
from web.http.rendering import zone_of
from web.keys import CONDITION, ENGINE
from web.views.presentation import ago


class Act(Protocol):
    """Something that is done to an alert. Raises ConflictError, HTTPNotFound."""

    async def __call__(self, request: web.Request, alert_id: UUID, *, now: datetime) -> None:
        """Does it."""


class ConflictError(Exception):
    """Somebody was first; the message says who and when. Answered with 409; nothing was changed."""


async def acknowledge(request: web.Request, alert_id: UUID, *, now: datetime) -> None:
    """Notes that whoever asks has seen the alert. Raises ConflictError, HTTPNotFound."""

    async def change(conn: AsyncConnection) -> str:
        return await life.acknowledge(conn, alert_id, by=request[IDENTITY].user_id, now=now)

    await _change(request, Action.ALERT_ACKNOWLEDGED, alert_id, change, now)


async def resolve(request: web.Request, alert_id: UUID, resolution: Resolution, *, now: datetime) -> None:
    """Resolves the alert; leaves a coaching note, where there are any. Raises ConflictError, HTTPNotFound."""

    async def change(conn: AsyncConnection) -> str:
        return await life.resolve(
            conn,
            alert_id,
            by=request[IDENTITY].user_id,
            action_taken=resolution.action_taken,
            outcome=resolution.outcome,
            message_to_tutor=resolution.message_to_tutor,
            only_if_not_met=resolution.only_if_not_met,
            now=now,
            keeps_notes=request.app[CONDITION].missing.of(Feature.COACHING_NOTES) is None,
        )

    await _change(request, Action.ALERT_RESOLVED, alert_id, change, now, details=resolution.outcome)


async def unacknowledge(request: web.Request, alert_id: UUID, *, now: datetime) -> None:
    """Takes an acknowledgement back. Raises ConflictError, HTTPNotFound."""

    async def change(conn: AsyncConnection) -> str:
        return await life.unacknowledge(conn, alert_id, by=request[IDENTITY].user_id)

    await _change(request, Action.ALERT_UNACKNOWLEDGED, alert_id, change, now)


async def reopen(request: web.Request, alert_id: UUID, *, now: datetime) -> None:
    """Takes a resolution back. Raises ConflictError, HTTPNotFound."""

    async def change(conn: AsyncConnection) -> str:
        return await life.reopen(conn, alert_id, by=request[IDENTITY].user_id)

    await _change(request, Action.ALERT_REOPENED, alert_id, change, now)


async def _change(
    request: web.Request,
    action: Action,
    alert_id: UUID,
    change: Callable[[AsyncConnection], Awaitable[str]],
    now: datetime,
    details: str | None = None,
) -> None:
    """Puts the change on record; `change` returns the tutor whom it concerns."""
    actor = actor_of(request)
    async with request.app[ENGINE].begin() as conn:
        try:
            tutor_id = await change(conn)
        except life.UnknownAlertError:
            raise web.HTTPNotFound from None
        except life.AlreadyDoneError as error:
            raise ConflictError(await _describe(conn, error, now, request)) from None
        except (life.AnotherOpenError, life.MetAgainError) as error:
            raise ConflictError(f"{error}; nothing was changed.") from None
        entry = Entry(action, user_id=tutor_id, object=f"alert {alert_id}", details=details)
        await write(conn, entry, actor)
    log(entry, actor)


async def _describe(conn: AsyncConnection, done: life.AlreadyDoneError, now: datetime, request: web.Request) -> str:
    names = await queries.names_of(conn, [done.by] if done.by else [])
    who = names.get(done.by or "", "Somebody")
    when = f" {ago(zone_of(request), done.at, now)}" if done.at else ""
    if done.by == request[IDENTITY].user_id:  # the answer to the first try was lost, or it was done in another tab
        return f"You {done.what} this alert yourself{when}; nothing more was changed."
    return f"{who} {done.what} this alert{when}; nothing was changed."
