"""Channels in the database: made, listed, switched and removed. The caller commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import channels, deliveries

BY_A_PERSON = "by a person"
"""Why a channel is off that its target didn't switch off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """What a channel is made of. None: all severities, types, events."""

    name: str
    kind: str
    target: str
    shown: str
    secret: str | None = None
    severities: Sequence[str] | None = None
    types: Sequence[str] | None = None
    events: Sequence[str] | None = ("opened",)
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as it is listed: nothing of it is secret."""

    id: UUID
    name: str
    kind: str
    shown: str
    severities: list[str] | None
    types: list[str] | None
    events: list[str] | None
    is_on: bool
    switched_off_because: str | None
    paused_until: datetime | None
    created_at: datetime
    created_by: str | None
    waiting: int
    given_up: int


async def add(conn: AsyncConnection, new: NewChannel) -> bool:
    """Makes the channel; returns False where there is one of that name."""
    is_taken = await conn.scalar(select(channels.c.id).where(channels.c.name == new.name))
    if is_taken:
        return False
    values = {
        "id": uuid4(),
        "name": new.name,
        "kind": new.kind,
        "target": new.target,
        "shown": new.shown,
        "secret": new.secret,
        "severities": new.severities and list(new.severities),
        "types": new.types and list(new.types),
        "events": new.events and list(new.events),
        "created_by": new.created_by,
    }
    await conn.execute(insert(channels).values(values))
    return True


async def load(conn: AsyncConnection) -> list[Channel]:
    """Return all channels by name, with how many of their deliveries wait and were given up."""
    of_channel = deliveries.c.channel_id == channels.c.id

    def count(state: str) -> object:
        found = select(func.count()).where(of_channel, deliveries.c.state == state)
        return found.correlate(channels).scalar_subquery().label(state)

    found = await conn.execute(
        select(
            channels.c.id,
            channels.c.name,
            channels.c.kind,
            channels.c.shown,
            channels.c.severities,
            channels.c.types,
            channels.c.events,
            channels.c.is_on,
            channels.c.switched_off_because,
            channels.c.paused_until,
            channels.c.created_at,
            channels.c.created_by,
            count("waiting"),  # type: ignore[call-overload]
            count("given_up"),
        ).order_by(channels.c.name)
    )
    return [Channel(*row) for row in found]


@dataclass(frozen=True, slots=True)
class Reached:
    """What it takes to send by a channel."""

    kind: str
    url: str
    secret: str | None


async def find(conn: AsyncConnection, name: str) -> Reached | None:
    """Return how the channel of that name is reached."""
    found = await conn.execute(
        select(channels.c.kind, channels.c.target, channels.c.secret).where(channels.c.name == name)
    )
    row = found.one_or_none()
    return row and Reached(*row)


async def switch(conn: AsyncConnection, name: str, *, on: bool) -> bool:
    """Switches the channel; returns False where there is none of that name. On, it is tried again at once."""
    done = await conn.execute(
        update(channels)
        .where(channels.c.name == name)
        .values(is_on=on, switched_off_because=None if on else BY_A_PERSON, paused_until=None)
    )
    return done.rowcount > 0


async def remove(conn: AsyncConnection, name: str) -> bool:
    """Removes the channel and the record of what it told; returns False where there is none of that name."""
    channel_id = await conn.scalar(delete(channels).where(channels.c.name == name).returning(channels.c.id))
    if channel_id is None:
        return False
    await conn.execute(delete(deliveries).where(deliveries.c.channel_id == channel_id))
    return True
