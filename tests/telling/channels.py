"""Channels as tests make them."""

from typing import Any
from uuid import UUID

from telling.channel import new_secret
from telling.kinds import kind_of
from tests.support.platform import Platform


async def make_channel(platform: Platform, url: str, name: str = "ops", **columns: Any) -> UUID:
    """The id of a new channel, which tells what is opened unless told otherwise."""
    kind = kind_of(url)
    values = {
        "name": name,
        "kind": kind.name,
        "target": url,
        "shown": kind.shown(url),
        "secret": new_secret() if kind.signs else None,
        "severities": None,
        "types": None,
        "events": ["opened"],
        "is_on": True,
    } | columns
    [channel_id] = await platform.rows(
        "INSERT INTO tutorwatch.channels (name, kind, target, shown, secret, severities, types, events, is_on)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        *values.values(),
    )
    found: UUID = channel_id
    return found


async def deliveries(platform: Platform, columns: str = "event, state") -> list[Any]:
    """These columns of all deliveries, oldest first."""
    return await platform.rows(f"SELECT {columns} FROM tutorwatch.deliveries ORDER BY history_id, channel_id")
