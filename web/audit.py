"""The audit trail: who did what, from where, and what was refused, in the database and in the log.

An entry is written in the transaction of what it tells of: neither is there without the other.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web
from sqlalchemy import Text, cast, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import audit_trail, users
from web.access_proxies import client_address
from web.identity import IDENTITY
from web.keys import ENGINE

logger = logging.getLogger(__name__)

LONGEST_BROWSER = 256
"""Characters kept of what a browser calls itself."""
COMMAND_LINE = "command line"


class Action(StrEnum):
    """What is on record when somebody does it."""

    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    SIGN_INS_ENDED = "sign_ins_ended"
    """Sign-ins in other browsers, by their owner."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 # nosec B105
    ADMIN_CREATED = "admin_created"
    LINK_CREATED = "link_created"
    PROVIDER_UNLINKED = "provider_unlinked"
    TOKEN_CREATED = "token_created"  # noqa: S105 # nosec B105
    TOKEN_USED = "token_used"  # noqa: S105 # nosec B105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 # nosec B105
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_RESOLVED = "alert_resolved"
    NOTE_ADDED = "note_added"
    TUTORS_RETRIED = "tutors_retried"


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody did, or tried to do."""

    action: Action
    refused: str | None = None
    """Why it was refused; None: it was done."""
    user_id: str | None = None
    """Whom it concerns: the tutor of an alert, the account that somebody signs in to."""
    object: str | None = None
    """What it concerns, such as "alert 7c9e..."."""
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, as far as that is known."""

    user_id: str | None = None
    role: str | None = None
    by: str | None = None
    """How they are known: by a password, a token, the command line ..."""
    address: str | None = None


def actor_of(request: web.Request) -> Actor:
    """Who sent the request."""
    identity, address = request.get(IDENTITY), client_address(request)
    if identity is None:
        return Actor(address=address)
    by = f"{identity.by}: {identity.token.name}" if identity.token else str(identity.by)
    return Actor(identity.user_id or None, identity.role, by, address)


@asynccontextmanager
async def audited(request: web.Request, entry: Entry, actor: Actor | None = None) -> AsyncIterator[AsyncConnection]:
    """A transaction for an act, which is on record once it is committed."""
    actor = actor or actor_of(request)
    async with request.app[ENGINE].begin() as conn:
        yield conn
        await write(conn, entry, actor)
    log(entry, actor)


async def note(request: web.Request, entry: Entry, actor: Actor | None = None) -> None:
    """Puts something on record that changed nothing: what was refused."""
    async with audited(request, entry, actor):
        pass


_IS_THROTTLED_ON_RECORD = text("""
    SELECT EXISTS (
        SELECT FROM tutorwatch.audit_trail
        WHERE at > clock_timestamp() - interval '1 minute' AND action = :action AND reason = :reason
          AND address IS NOT DISTINCT FROM :address AND user_id IS NOT DISTINCT FROM :user_id
    )
""")


async def note_once_a_minute(request: web.Request, entry: Entry) -> None:
    """Puts something on record that a stranger may do as often as they like."""
    actor = actor_of(request)
    values = {"action": entry.action, "reason": entry.refused, "address": actor.address, "user_id": entry.user_id}
    async with request.app[ENGINE].begin() as conn:
        if await conn.scalar(_IS_THROTTLED_ON_RECORD, values):
            return
        await write(conn, entry, actor)
    log(entry, actor)


async def write(conn: AsyncConnection, entry: Entry, actor: Actor) -> None:
    """Adds the entry; the caller commits, and then calls `log`. An actor's role, where it isn't given, is looked up."""
    role = select(cast(users.c.role, Text)).where(users.c.id == actor.user_id).scalar_subquery()
    await conn.execute(
        insert(audit_trail).values(
            action=entry.action.value,
            outcome=_outcome(entry),
            reason=entry.refused,
            actor=actor.user_id,
            actor_role=actor.role or role,
            actor_by=actor.by,
            address=actor.address,
            user_id=entry.user_id,
            object=entry.object,
            details=entry.details,
        )
    )


def log(entry: Entry, actor: Actor) -> None:
    """Writes the entry to the log: a line, whatever its texts contain (see `scripts.log_format`)."""
    facts = {
        "action": entry.action.value,
        "outcome": _outcome(entry),
        "reason": entry.refused,
        "actor": actor.user_id,
        "actor_role": actor.role,
        "actor_by": actor.by,
        "address": actor.address,
        "concerns": entry.user_id,
        "object": entry.object,
    }
    words = entry.action.value.replace("_", " ").capitalize()
    extra = {name: value for name, value in facts.items() if value is not None}
    logger.info("%s%s", words, f" refused: {entry.refused}" if entry.refused else "", extra=extra)


def browser_of(request: web.Request) -> str | None:
    """What the browser calls itself, without what no browser sends."""
    told = request.headers.get("User-Agent", "")
    return "".join(each for each in told if each.isprintable())[:LONGEST_BROWSER] or None


def _outcome(entry: Entry) -> str:
    return "refused" if entry.refused else "done"
