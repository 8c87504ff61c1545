"""`tutorwatch web` as a process, and browsers in it that are signed in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.command import Running
from tests.support.platform import Platform
from tests.support.roles import WEB
from tests.support.scale import either
from web.auth.cookies import SIGN_IN, digest, new_token

PAGE_SECONDS = either(test=20.0, soak=5.0)
"""However busy the server is, a page may take no longer: in `make test` other tests have the processors, too."""


@dataclass
class Dashboard:
    """The process, its address, and the sign-in of an admin."""

    process: Running
    address: str
    token: str
    slowest_page: float = 0.0

    @property
    def cookies(self) -> dict[str, str]:
        return {SIGN_IN: self.token}

    async def page(self, browser: aiohttp.ClientSession, path: str = "/alerts") -> str:
        """A page's text, in time."""
        started = asyncio.get_running_loop().time()
        async with browser.get(self.address + path, timeout=aiohttp.ClientTimeout(PAGE_SECONDS)) as response:
            text = await response.text()
            assert response.status == 200, text
        self.slowest_page = max(self.slowest_page, asyncio.get_running_loop().time() - started)
        return text


@asynccontextmanager
async def dashboard(database_url: str, platform: Platform, **settings: Any) -> AsyncIterator[Dashboard]:
    """Serves, and the admin `dana` is signed in."""
    await platform.user("dana", role="admin", name="Dana Whitfield")
    token = await sign_in(platform, "dana")
    with Running("web", url=WEB.url(database_url), web_port=0, **settings) as process:
        address = (await process.log(action="serving"))["message"].removeprefix("Serving on ")
        yield Dashboard(process, address, token)


async def sign_in(platform: Platform, user_id: str) -> str:
    """A browser's cookie, without the time that a password takes."""
    token = new_token()
    await platform.connection.execute(
        "INSERT INTO tutorwatch.sign_ins (token_hash, user_id) VALUES (%s, %s)", [digest(token), user_id]
    )
    return token


def browser(token: str, connections: int = 0) -> aiohttp.ClientSession:
    """With as many connections as asked for; 0: any number."""
    return aiohttp.ClientSession(cookies={SIGN_IN: token}, connector=aiohttp.TCPConnector(limit=connections))
