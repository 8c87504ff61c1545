"""Pages that many ask for and that show everybody the same: made once, and kept until something changes.

What differs between people - their name, their form token - is put in as a page is handed out.
"""

import asyncio
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web
from markupsafe import escape

from web.auth.identity import Identity
from web.live.hub import Hub

KEPT_SECONDS = 1.0
"""How old a page may be in what no notification announces: sessions, names. Changed alerts end it at once."""

MakePage = Callable[[Identity], Awaitable[str]]
"""Makes a page for somebody."""


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page in pieces: between them, in turns of what was left out, belongs something of whoever reads it."""

    pieces: tuple[bytes, ...]
    changes: int
    made_at: float

    def body(self, identity: Identity) -> bytes:
        """The page for one person."""
        theirs = {_NAME: str(escape(identity.name)).encode(), _TOKEN: identity.csrf_token.encode()}
        return b"".join([theirs.get(piece, piece) for piece in self.pieces])


class PageKeeper:
    """The pages of one application, by what is asked for; few are, so none is ever thrown away."""

    def __init__(self) -> None:
        self._pages: dict[str, KeptPage] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def kept(self, key: str, identity: Identity, hub: Hub) -> bytes | None:
        """The page for somebody, if it is kept: then nothing need be waited for."""
        page = self._current(key, hub)
        return page.body(identity) if page else None

    async def body(self, key: str, identity: Identity, hub: Hub, make: MakePage) -> bytes:
        """The page for somebody: as it was kept, or made anew. However many ask at the same time, one makes it."""
        if not _hears_of_changes(hub):
            return (await make(identity)).encode()
        async with self._making[key]:
            page = self._current(key, hub) or await self._make(key, identity, hub, make)
        return page.body(identity)

    def _current(self, key: str, hub: Hub) -> KeptPage | None:
        page = self._pages.get(key) if _hears_of_changes(hub) else None
        is_current = page and page.changes == hub.changes and time.monotonic() - page.made_at < KEPT_SECONDS
        return page if is_current else None

    async def _make(self, key: str, identity: Identity, hub: Hub, make: MakePage) -> KeptPage:
        # Both before it is read: what changes meanwhile makes it old.
        changes, now = hub.changes, time.monotonic()
        text = await make(replace(identity, user_id="", name=_NAME.decode(), csrf_token=_TOKEN.decode()))
        page = KeptPage(tuple(_THEIRS.split(text.encode())), changes, now)
        self._pages[key] = page
        return page


def _hears_of_changes(hub: Hub) -> bool:
    return hub.hears and hub.is_announced


# Nobody can have written these into a name or a note: they are drawn anew with every start.
_NAME, _TOKEN = (f"{what}-{secrets.token_hex(16)}".encode() for what in ("name", "token"))
_THEIRS = re.compile(b"(" + _NAME + b"|" + _TOKEN + b")")

PAGES = web.AppKey("pages", PageKeeper)
