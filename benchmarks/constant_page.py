"""The least that aiohttp can do for a page: a handler that answers every request with the same bytes; and another that
first looks up who is signed in, as the dashboard does with every request.

`python -m benchmarks.constant_page BYTES` says its port on the first line of stdout, and serves until it is ended.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from benchmarks.processes import environment_for
from scripts import environment
from web.auth.access import lifetime
from web.auth.cookies import SIGN_IN, digest
from web.auth.sign_in_lookup import SignInLookup
from web.database import connections_for_pages
from web.settings import WebSettings

HOST = "127.0.0.1"
SIGNED_IN = "/signed-in"
"""The page that asks who is signed in."""


@contextmanager
def constant_page(size: int, url: str) -> Iterator[int]:
    """Serves pages of that many bytes in a process of its own while the block runs; yields the port.

    Who is signed in is looked up in the database of that URL.
    """
    process = subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", __spec__.name, str(size)],
        env=environment_for(url),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout  # noqa: S101 - for the type checker
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def serve(size: int) -> None:
    """Serves until cancelled."""
    text = "x" * size
    way = connections_for_pages(environment.database_url())
    sign_ins = SignInLookup(way, lifetime(WebSettings()), when_lost=_keep_nothing_else)

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def page_of_whom_it_knows(request: web.Request) -> web.Response:
        if await sign_ins.find(digest(request.cookies.get(SIGN_IN, ""))) is None:
            raise web.HTTPUnauthorized
        return await page(request)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get(SIGNED_IN, page_of_whom_it_knows)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _keep_nothing_else() -> None:
    """There is no engine whose connections could be lost, too."""


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
