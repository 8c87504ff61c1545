"""Acknowledging and resolving, for forms and programs alike."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.platform_needs import Feature
from rules import life
from web import queries
from web.keys import CONDITION, ENGINE
from web.models import Resolution
from web.presentation import ago


class ConflictError(Exception):
    """Somebody was first; the message says who and when. Answered with 409; nothing was changed."""


async def acknowledge(engine: AsyncEngine, alert_id: UUID, *, by: str, now: datetime) -> None:
    """Notes that `by` has seen the alert. Raises ConflictError, HTTPNotFound."""
    await _change(engine, lambda conn: life.acknowledge(conn, alert_id, by=by, now=now), now)


async def resolve(app: web.Application, alert_id: UUID, resolution: Resolution, *, by: str, now: datetime) -> None:
    """Resolves the alert; leaves a coaching note, where there are any. Raises ConflictError, HTTPNotFound."""

    async def change(conn: AsyncConnection) -> None:
        await life.resolve(
            conn,
            alert_id,
            by=by,
            action_taken=resolution.action_taken,
            outcome=resolution.outcome,
            now=now,
            keeps_notes=app[CONDITION].missing.of(Feature.COACHING_NOTES) is None,
        )

    await _change(app[ENGINE], change, now)


async def _change(engine: AsyncEngine, change: Callable[[AsyncConnection], Awaitable[None]], now: datetime) -> None:
    async with engine.begin() as conn:
        try:
            await change(conn)
        except life.UnknownAlertError:
            raise web.HTTPNotFound from None
        except life.AlreadyDoneError as error:
            raise ConflictError(await _describe(conn, error, now)) from None


async def _describe(conn: AsyncConnection, done: life.AlreadyDoneError, now: datetime) -> str:
    names = await queries.names_of(conn, [done.by] if done.by else [])
    who = names.get(done.by or "", "Somebody")
    when = f" {ago(done.at, now)}" if done.at else ""
    return f"{who} {done.what} this alert{when}; nothing was changed."
