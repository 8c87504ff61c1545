"""The least that aiohttp can do for a page: a handler that answers every request with the same bytes.

`python -m scripts.bench.constant_page BYTES` says its port on the first line of stdout, and serves until it is ended.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

HOST = "127.0.0.1"


@contextmanager
def constant_page(size: int) -> Iterator[int]:
    """Serves a page of that many bytes in a process of its own while the block runs; yields the port."""
    process = subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", __spec__.name, str(size)], stdout=subprocess.PIPE, text=True
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

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
