"""Requests that no browser would send, byte by byte; and what protects every answer."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from database.serving import SECURITY_HEADERS, TOO_LONG
from rules.thresholds import Thresholds
from tests.support.browsers import Browser, address, token_on
from tests.support.platform import Platform
from tests.support.raw_requests import request, send
from tests.support.roles import WEB
from tests.support.waiting import eventually
from web.app import LARGEST_BODY, create_app
from web.http.static_files import KEPT_FOR_EVER
from web.routes import ROUTES
from web.service import SERVING, Site, runner_of
from web.settings import WebSettings

SOURCES = re.compile(rb"import |root:|BEGIN|<template|def ")


@pytest.fixture
async def static(nobody: Browser) -> str:
    """The address of the static files, without the slash."""
    async with nobody.get("/sign-in") as response:
        found = re.search(r'"(/static/[0-9a-f]+)/app\.css"', await response.text())
    assert found
    return found[1]


async def test_nothing_but_static_files_is_served_as_one(server: TestServer, static: str) -> None:
    ups = [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "..\\",
        ".%2e/",
        "....//",
        "..;/",
        "%252e%252e%252f",
        "..%c0%af",
    ]
    names = ["app.py", "templates/layout.html", "static_files.py"]
    paths = [f"{static}/{up * depth}{name}" for up in ups for depth in (1, 2) for name in names]
    paths += [
        f"{static}/{name}"
        for name in ("/etc/passwd", "%2fetc%2fpasswd", "%00", "app.css%00", "app.css/", "", ".", "..")
    ]
    paths += [f"{static}/{'a' * 4000}", f"{static}/{'a/' * 2000}", static, "/static", "/static/", "/static/../app.py"]
    paths += [
        f"{static}/app.css/../../app.py",
        f"/x{static}/app.css",
        f"{static}x/app.css",
        f"{static}/APP.CSS",
        "//etc/passwd",
    ]

    for path in paths:
        answer = await send(server, request(path))
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
        assert not SOURCES.search(answer.body), path
    assert (await send(server, request(f"{static}/app.css"))).status == 200


async def test_every_answer_carries_the_headers_that_protect_it_and_is_stored_nowhere(
    nobody: Browser, admin: Browser, static: str, platform: Platform
) -> None:
    """Every route, asked by a stranger and by an admin; and every kind of error."""
    token = {"X-CSRF-Token": await token_on(admin, "/alerts")}
    asked: list[tuple[Browser, str, str, dict[str, str]]] = []
    for route in ROUTES:
        method, path = address(route)
        asked += [(browser, method, path, {}) for browser in (nobody, admin) if path != "/events"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    asked += [
        (nobody, "GET", "/nothing", {}),
        (nobody, "GET", f"{static}/app.css", {}),
        (nobody, "GET", f"{static}/nothing", {}),
        (nobody, "DELETE", "/alerts", {}),
        (nobody, "TRACE", "/", {}),
        (nobody, "GET", "/events", {"Accept": "text/event-stream"}),
        (admin, "GET", "/alerts?limit=0", {}),
        (admin, "POST", "/tutors/ann/notes", token | {"Content-Type": "text/plain"}),
        (admin, "POST", "/system/retry", token | form),
    ]
    async with admin.get("/api/critical-alerts") as response:
        asked.append((admin, "GET", "/api/critical-alerts", {"If-None-Match": response.headers["ETag"]}))
    seen = set()
    await platform.connection.execute("ALTER TABLE tutor_insights RENAME TO gone")  # something to go wrong
    for browser, method, path, headers in asked:
        async with browser.request(method, path, headers=headers, allow_redirects=False) as response:
            missing = SECURITY_HEADERS.items() - response.headers.items()
            assert (missing, response.headers["Server"]) == (set(), "Tutorwatch"), (method, path)
            is_static = path == f"{static}/app.css"
            assert response.headers["Cache-Control"] == (KEPT_FOR_EVER if is_static else "no-store"), (method, path)
            seen.add(response.status)
    async with admin.get("/events") as stream:
        assert SECURITY_HEADERS.items() - stream.headers.items() == set()
        assert stream.headers["Cache-Control"] == "no-store"
        seen.add(stream.status)

    assert seen >= {200, 303, 304, 400, 401, 403, 404, 405, 415, 500}
    assert "'unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


MALFORMED = {
    "both lengths": "Content-Length: 4\r\nTransfer-Encoding: chunked",
    "two lengths": "Content-Length: 4\r\nContent-Length: 5",
    "list of lengths": "Content-Length: 4, 5",
    "signed length": "Content-Length: +4",
    "negative length": "Content-Length: -4",
    "hexadecimal length": "Content-Length: 0x4",
    "unknown encoding": "Transfer-Encoding: xchunked",
    "chunked first": "Transfer-Encoding: chunked, identity",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "space before the colon": "Transfer-Encoding : chunked",
    "folded": "Transfer-Encoding:\r\n chunked",
    "control character": "Transfer-Encoding: \x0bchunked",
    "bare line feed": "X: a\nTransfer-Encoding: chunked",
    "two hosts": "Host: evil.example",
    "header without a name": ": chunked",
    "spaced name": "Content Length: 4",
}


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED)
async def test_what_could_be_read_in_two_ways_is_not_read_at_all(headers: str, server: TestServer) -> None:
    """A proxy before us might see one request where we see two: neither is answered, and the connection ends."""
    smuggled = request("/healthz", keep_alive=True)
    ambiguous = request("/sign-in", headers, method="POST", body=b"0\r\n\r\n" + smuggled, keep_alive=True)

    answer = await send(server, ambiguous)

    assert (answer.status, answer.answers, answer.is_closed) == (400, 1, True)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_body_that_nobody_reads_is_no_request(server: TestServer) -> None:
    smuggled = request("/healthz")
    answer = await send(
        server,
        request("/nothing", f"Content-Length: {len(smuggled)}", body=smuggled, keep_alive=True),
        request("/sign-in"),
    )

    assert (answer.status, answer.answers) == (404, 2)
    assert b'"status": "ok"' not in answer.body


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        pytest.param(b"GET /" + b"a" * 10_000, b"", id="endless path"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, b"", id="endless header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n" * 100_000, id="endless headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ", b"a=b; " * 100_000, id="endless cookies"),
    ],
)
async def test_head_without_an_end_is_cut_off(start: bytes, rest: bytes, server: TestServer) -> None:
    answer = await send(server, start, rest)

    assert (answer.status, answer.is_closed) == (400, True)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Cookie: " + "; ".join(f"sso_{n}={'x' * 3900}" for n in range(3)), id="cookies of others"),
        pytest.param("Authorization: Negotiate " + "A" * 12_000, id="ticket"),
        pytest.param("X-Large: " + "a" * 64_000, id="as large as may be"),
    ],
)
async def test_large_header_of_somebody_elses_is_read(header: str, server: TestServer) -> None:
    """Other applications of the same domain leave cookies in the browser, and a directory its ticket."""
    answer = await send(server, request("/sign-in", header))

    assert answer.status == 200


async def test_header_that_is_too_large_is_refused_in_words(server: TestServer) -> None:
    answer = await send(server, request("/sign-in", "Cookie: sso=" + "x" * 70_000))

    assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert answer.body == TOO_LONG.encode()


async def test_body_without_an_end_is_cut_off(
    server: TestServer, nobody: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its stated length before any of it is there; else by what has come, or hasn't come in time."""
    monkeypatch.setattr("web.http.forms.ARRIVAL_SECONDS", 0.5)
    form = "Content-Type: application/x-www-form-urlencoded"
    chunked = request("/sign-in", form, "Transfer-Encoding: chunked", method="POST")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"

    stated = await send(server, request("/sign-in", form, "Content-Length: 99999999999", method="POST"), patience=2)
    endless = await send(server, chunked, *[chunk] * (LARGEST_BODY // 0x10000 + 2), patience=2)
    slow = await send(server, chunked, b"1\r\na\r\n", patience=3)

    assert (stated.status, endless.status, slow.status) == (413, 413, 408)
    async with nobody.get("/healthz") as response:
        assert response.status == 200


async def test_little_cannot_be_unfolded_into_much(nobody: Browser) -> None:
    """Neither by compression nor by parts nor by nesting."""
    token = {"X-CSRF-Token": await token_on(nobody)}
    parts = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 4000
    for kind, body, more, expected in [
        ("application/x-www-form-urlencoded", b"\x1f\x8b" + b"0" * 1000, {"Content-Encoding": "gzip"}, 415),
        ("application/x-www-form-urlencoded", b"a&" * 100_000, {}, 413),
        ("multipart/form-data; boundary=x", parts, {}, 415),
        ("application/x-www-form-urlencoded; charset=nonsense", b"a=b", {}, 400),
    ]:
        async with nobody.post("/sign-in", data=body, headers=token | more | {"Content-Type": kind}) as response:
            assert response.status == expected, kind


@dataclass
class Served:
    """The application as the process serves it, down to the sockets."""

    host: str
    port: int | None
    server: web.Server

    async def until_idle(self) -> None:
        """Returns once it has taken no further request for a while."""
        before = -1

        async def is_idle() -> bool:
            nonlocal before
            before, now = self.server.requests_count, before
            await asyncio.sleep(0.3)
            return before == now

        await eventually(is_idle)

    async def is_left(self) -> bool:
        """Whether it holds no connection any more."""
        return not self.server.connections


@asynccontextmanager
async def serving(database_url: str, thresholds: Thresholds) -> AsyncIterator[Served]:
    """As `run_web` does it."""
    settings = WebSettings(web_port=0)
    app = create_app(WEB.url(database_url), settings, thresholds, version="9.9")
    runner = runner_of(app, settings, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await Site(runner, "127.0.0.1", 0).start()
        assert runner.server
        host, port = runner.addresses[0]
        yield Served(host, port, runner.server)
    finally:
        await runner.cleanup()


NO_REQUESTS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "words": b"hello\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "path": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "endless path": b"GET /" + b"a" * 10_000,
    "two hosts": request("/", "Host: evil.example"),
    "chunks": request("/sign-in", "Transfer-Encoding: chunked", method="POST", body=b"zz\r\n"),
}


async def test_what_is_no_request_is_no_error_of_ours(server: TestServer, caplog: pytest.LogCaptureFixture) -> None:
    answers = {what: await send(server, sent) for what, sent in NO_REQUESTS.items()}

    assert {what: (answer.status, answer.is_closed) for what, answer in answers.items()} == dict.fromkeys(
        NO_REQUESTS, (400, True)
    )
    assert [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info] == []


async def test_connection_without_a_whole_request_is_closed(
    database_url: str, thresholds: Thresholds, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SERVING["keepalive_timeout"] == 75
    monkeypatch.setitem(SERVING, "keepalive_timeout", 0.5)
    whole = request("/healthz", keep_alive=True)
    async with serving(database_url, thresholds) as served:
        for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", whole, whole + b"GET / HTTP/1.1\r\nHo"):
            assert (await send(served, sent)).is_closed, sent


@pytest.mark.parametrize("path", ["STATIC/app.css", "/api/openapi.json"])
@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stays"])
async def test_browser_that_does_not_read_is_let_go_without_a_word(
    path: str,
    leaves: bool,
    database_url: str,
    thresholds: Thresholds,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("web.service.UNREAD_SECONDS", 600 if leaves else 0.5)
    async with serving(database_url, thresholds) as served:
        page = (await send(served, request("/sign-in"))).body.decode()
        found = re.search(r'"(/static/[0-9a-f]+)/app\.css"', page)
        assert found
        _, writer = await asyncio.open_connection(served.host, served.port, limit=1024)
        try:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(request(path.replace("STATIC", found[1]), keep_alive=True) * 1000)
            await served.until_idle()
            assert served.server.requests_count < 1000
            if leaves:
                writer.transport.abort()
            await eventually(served.is_left, within=20)
        finally:
            writer.transport.abort()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info] == []
