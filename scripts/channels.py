"""The work of `tutorwatch channel`."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import typer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from database.channels import DELIVERIES
from database.one_line import one_line
from database.schema_version import check_schema
from rules.registry import ALERT_RULES
from rules.rule import Severity
from scripts import environment
from scripts.audit import user_of_host
from scripts.errors import CommandError, UsageError
from telling import channel_store, deliveries
from telling.channel import Target, TargetError, new_secret
from telling.channel_store import Channel, NewChannel
from telling.kinds import KINDS, kind_of
from telling.message import EVENTS
from telling.result import Outcome
from telling.settings import TellingSettings

LONGEST_NAME = 100
EVERYTHING = "all"


@dataclass(frozen=True, slots=True)
class Asked:
    """A channel as it was typed. Empty: all severities, types."""

    name: str
    url: str
    severities: Sequence[str]
    types: Sequence[str]
    events: Sequence[str]


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.begin() as conn:
        await check_schema(conn)
        yield conn


async def add(engine: AsyncEngine, asked: Asked) -> None:
    """Makes a channel, and prints a webhook's secret. Raises UsageError, CommandError where the name is taken."""
    new = _checked(asked)
    settings = environment.read(TellingSettings)
    async with _transaction(engine) as conn:
        if not await channel_store.add(conn, new):
            raise CommandError(f"There is a channel named {new.name!r} already")
    if new.secret:
        typer.echo(new.secret)
        typer.echo("Its receiver checks signatures with this secret. Keep it now: it is not shown again.", err=True)
    typer.echo(f"{new.name} tells {_filters(new.severities, new.types, new.events)}: {new.shown}", err=bool(new.secret))
    if new.kind == "email" and settings.smtp_url is None:
        typer.echo("TUTORWATCH_SMTP_URL is not set here: listeners need it to send e-mail.", err=True)


def _checked(asked: Asked) -> NewChannel:
    name = asked.name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"A channel's name has 1 to {LONGEST_NAME} printable characters")
    try:
        kind = kind_of(asked.url)
        shown = kind.shown(asked.url)
    except TargetError as error:
        raise UsageError(str(error)) from None
    return NewChannel(
        name=name,
        kind=kind.name,
        target=asked.url,
        shown=shown,
        secret=new_secret() if kind.signs else None,
        severities=_among("severity", asked.severities, [each.value for each in Severity]),
        types=_among("type", asked.types, list(ALERT_RULES)),
        events=None if EVERYTHING in asked.events else _among("event", asked.events, EVENTS),
        created_by=user_of_host(),
    )


def _among(what: str, given: Sequence[str], known: Sequence[str]) -> Sequence[str] | None:
    """Return them without repetitions, None without any. Raises UsageError for what isn't known."""
    if unknown := [each for each in given if each not in known]:
        raise UsageError(f"{unknown[0]!r} is no {what}: there are {', '.join(known)}")
    return list(dict.fromkeys(given)) or None


def _filters(severities: Sequence[str] | None, types: Sequence[str] | None, events: Sequence[str] | None) -> str:
    what = "all events" if events is None else ", ".join(events)
    which = " and ".join(" or ".join(each) for each in (severities, types) if each)
    return f"{what.replace('_', ' ')} ({which.replace('_', ' ') or 'all alerts'})"


async def print_all(engine: AsyncEngine, *, as_json: bool) -> None:
    """Prints a line per channel, or all as a JSON array; nothing of it is secret."""
    async with _transaction(engine) as conn:
        found = await channel_store.load(conn)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in found]))
        return
    if not found:
        typer.echo("There are no channels: nobody is told of alerts.")
    for each in found:
        line = f"{each.name}: {each.kind} to {each.shown}, {_filters(each.severities, each.types, each.events)}"
        typer.echo(one_line(f"{line}; {_state(each)}"))


def _state(channel: Channel) -> str:
    if not channel.is_on:
        state = f"off: {channel.switched_off_because or 'unknown why'}"
    elif channel.paused_until and channel.paused_until > datetime.now(UTC):
        state = f"on, left alone until {channel.paused_until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC after a failure"
    else:
        state = "on"
    waiting = f"; {channel.waiting} waiting" if channel.waiting else ""
    return state + waiting + (f"; {channel.given_up} given up" if channel.given_up else "")


def _as_json(channel: Channel) -> dict[str, object]:
    return {
        "name": channel.name,
        "kind": channel.kind,
        "target": channel.shown,
        "severities": channel.severities,
        "types": channel.types,
        "events": channel.events,
        "is_on": channel.is_on,
        "switched_off_because": channel.switched_off_because,
        "paused_until": channel.paused_until and channel.paused_until.astimezone(UTC).isoformat(),
        "created_at": channel.created_at.astimezone(UTC).isoformat(),
        "created_by": channel.created_by,
        "waiting": channel.waiting,
        "given_up": channel.given_up,
    }


async def test(engine: AsyncEngine, name: str) -> None:
    """Sends a test by the channel, once. Raises CommandError if it wasn't delivered."""
    async with _transaction(engine) as conn:
        found = await channel_store.find(conn, name)
    if found is None:
        raise _unknown(name)
    kind = KINDS.get(found.kind)
    if kind is None:
        raise CommandError(f"This version knows no channels of kind {found.kind}")
    message = deliveries.sample(environment.dashboard_url())
    result = await kind.send(Target(found.url, found.secret), message, environment.read(TellingSettings))
    if result.outcome is not Outcome.DELIVERED:
        raise CommandError(f"Not delivered: {one_line(result.error)}")
    typer.echo("Delivered.")


async def switch(engine: AsyncEngine, name: str, *, on: bool) -> None:
    """Switches the channel. Raises CommandError for an unknown one."""
    async with _transaction(engine) as conn:
        if not await channel_store.switch(conn, name, on=on):
            raise _unknown(name)
        await conn.execute(text("SELECT pg_notify(:channel, '')"), {"channel": DELIVERIES})
    typer.echo(f"{name} is {'on' if on else 'off'}.")


async def remove(engine: AsyncEngine, name: str) -> None:
    """Removes the channel. Raises CommandError for an unknown one."""
    async with _transaction(engine) as conn:
        if not await channel_store.remove(conn, name):
            raise _unknown(name)
    typer.echo(f"{name} is removed.")


def _unknown(name: str) -> CommandError:
    return CommandError(f"There is no channel named {name!r}: see `tutorwatch channel list`")
