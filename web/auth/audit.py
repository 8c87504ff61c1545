"""The audit trail: who did what, from where, and what was refused, in the database and in the log.

An entry is written in the transaction of what it tells of: neither is there without the other.
"""

import json
import logging
import re
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from web.auth import store
from web.auth.audit_actions import Action as Action  # whoever records one needs the rest of this module, too
from web.auth.identity import IDENTITY
from web.auth.proxies import client_address
from web.database import is_database_gone
from web.keys import ENGINE

logger = logging.getLogger(__name__)

LONGEST_BROWSER = 256
"""Characters kept of what a browser calls itself."""
COMMAND_LINE = "command line"
A_MINUTE = timedelta(minutes=1)
AN_HOUR = timedelta(hours=1)
"""How often the use of a token, or of a sign-in proxy's word, is on record."""


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


class LatelyNoted:
    """What this process has put on record lately, so that the database needn't be asked with every request."""

    MOST = 10_000
    """Entries that are remembered; of more, the oldest are asked for in the database again."""

    def __init__(self) -> None:
        self._due_at: dict[Hashable, float] = {}

    def take(self, what: Hashable, every: timedelta) -> bool:
        """Whether it is to be noted again; whoever is told so does it, and nobody else for so long."""
        if time.monotonic() < self._due_at.get(what, 0.0):
            return False
        self.put_off(what, every)
        return True

    def put_off(self, what: Hashable, by: timedelta) -> None:
        """It is noted again after so long, not sooner."""
        self._due_at.pop(what, None)  # it comes last again
        while len(self._due_at) >= self.MOST:
            del self._due_at[next(iter(self._due_at))]
        self._due_at[what] = time.monotonic() + by.total_seconds()


LATELY_NOTED = web.AppKey("lately_noted", LatelyNoted)


async def note_once_a_minute(request: web.Request, entry: Entry) -> None:
    """Puts something on record that a stranger may do as often as they like."""
    await note_seldom(request, entry, every=A_MINUTE)


async def note_seldom(request: web.Request, entry: Entry, *, every: timedelta, actor: Actor | None = None) -> None:
    """Puts something on record that may come with every request: once in so long for the same entry and actor.

    Where the database can't be written it is in the log alone: nobody is kept from reading by that.
    """
    actor = actor or actor_of(request)
    lately, same = request.app[LATELY_NOTED], (entry, actor)
    if not lately.take(same, every):
        return
    try:
        is_on_record = await _is_on_record(request.app[ENGINE], entry, actor, every)
    except BaseException as error:
        lately.put_off(same, A_MINUTE)
        if not is_database_gone(error):
            raise
        is_on_record = False
    if not is_on_record:
        log(entry, actor)


async def _is_on_record(engine: AsyncEngine, entry: Entry, actor: Actor, every: timedelta) -> bool:
    """Whether another process, or this one before it was restarted, has noted it; notes it otherwise."""
    async with engine.begin() as conn:
        if await store.is_on_record(conn, _columns(entry, actor), every):
            return True
        await write(conn, entry, actor)
    return False


async def write(conn: AsyncConnection, entry: Entry, actor: Actor) -> None:
    """Adds the entry; the caller commits, and then calls `log`. An actor's role, where it isn't given, is looked up."""
    await store.insert_entry(conn, _columns(entry, actor))


def log(entry: Entry, actor: Actor) -> None:
    """Writes the entry to the log: a line of `name=value`, whatever its texts contain."""
    extra = {
        "concerns" if name == "user_id" else name: value
        for name, value in _columns(entry, actor).items()
        if value is not None
    }
    logger.info("%s", " ".join(f"{name}={_quoted(value)}" for name, value in extra.items()), extra=extra)


def _quoted(value: str) -> str:
    """The value, as JSON has it where it isn't a plain word: nothing in it passes for another `name=value`."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value).replace("=", "\\u003d")


_PLAIN = re.compile(r"[\w.:@/+-]+", re.ASCII)


def browser_of(request: web.Request) -> str | None:
    """What the browser calls itself, without what no browser sends."""
    told = request.headers.get("User-Agent", "")
    return "".join(each for each in told if each.isprintable())[:LONGEST_BROWSER] or None


def _columns(entry: Entry, actor: Actor) -> dict[str, str | None]:
    """The entry, by the names of the audit trail's columns."""
    return {
        "action": entry.action.value,
        "outcome": "refused" if entry.refused else "done",
        "reason": entry.refused,
        "actor": actor.user_id,
        "actor_role": actor.role,
        "actor_by": actor.by,
        "address": actor.address,
        "user_id": entry.user_id,
        "object": entry.object,
        "details": entry.details,
    }
