"""Who the tutors are: read for all who ask, and kept for a few seconds, because to search takes all their names."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet

from aiohttp import web

from web import queries

KEPT_SECONDS = 10.0
"""How old names may be: nothing announces that a name has changed."""
ASKED_AGAIN_SECONDS = 1.0
"""How soon they are read again for somebody who isn't among them."""

Entries = Mapping[str, queries.TutorEntry]


class Directory:
    """The tutors by id, in the order of their names."""

    def __init__(self) -> None:
        self._entries: Entries = {}
        self._read_at = -KEPT_SECONDS
        self._reading = asyncio.Lock()

    async def get(self, read: Callable[[], Awaitable[Entries]], expected: AbstractSet[str] = frozenset()) -> Entries:
        """The tutors as they were kept, or read anew: also where one of those expected is missing, who may be new."""
        async with self._reading:
            age = time.monotonic() - self._read_at
            if age >= KEPT_SECONDS or (age >= ASKED_AGAIN_SECONDS and not expected <= self._entries.keys()):
                read_at = time.monotonic()
                self._entries, self._read_at = await read(), read_at
            return self._entries


DIRECTORY = web.AppKey("directory", Directory)
