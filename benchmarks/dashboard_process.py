"""A real `tutorwatch web`, in a process of its own, and somebody who is signed in there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.consumption import resident_mebibytes
from benchmarks.processes import running
from database.connections import open_engine
from web.auth import store
from web.auth.cookies import FORM, SIGN_IN, digest, new_token

ADMIN = "bench-admin"
"""The admin among the people of `benchmarks.dataset`."""


@dataclass(frozen=True)
class Dashboard:
    """Where it is served, by which process, and the cookie of the admin who is signed in."""

    url: str
    process_id: int
    cookie_name: str
    cookie: str
    secret: str = field(default_factory=new_token)
    """Behind the forms of its pages."""

    @property
    def host(self) -> str:
        """The name or address of its port."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """Its port."""
        return int(urlsplit(self.url).port or 0)

    @property
    def headers(self) -> dict[str, str]:
        """What a browser that is signed in, and has seen a page, sends with a request."""
        return {"Host": f"{self.host}:{self.port}", "Cookie": f"{self.cookie_name}={self.cookie}; {FORM}={self.secret}"}

    def resident_mebibytes(self) -> float | None:
        """Its memory that is resident now; None where the system doesn't say so in Linux's way."""
        return resident_mebibytes(self.process_id)


@contextmanager
def dashboard(url: str, *, streams: int = 0) -> Iterator[Dashboard]:
    """Serves the database's dashboard while the block runs; with so many streams for the admin, or as many as usual."""
    cookie = asyncio.run(sign_in(url))
    names = ("TUTORWATCH_WEB_STREAMS", "TUTORWATCH_WEB_STREAMS_PER_PERSON")
    bounds = dict.fromkeys(names, str(streams)) if streams else {}
    with running("web", url, until="serving", TUTORWATCH_WEB_PORT="0", **bounds) as process:
        yield Dashboard(str(process.said["message"]).split()[-1], process.process_id, SIGN_IN, cookie)


async def sign_in(url: str) -> str:
    """Signs the admin in; returns the token that is their cookie."""
    token, engine = new_token(), open_engine(url, application_name="tutorwatch-bench")
    try:
        async with engine.begin() as conn:
            await store.insert_sign_in(conn, digest(token), ADMIN)
    finally:
        await engine.dispose()
    return token
