"""Requests that no browser would send, byte by byte; and what protects every answer."""

import re

import pytest
from aiohttp.test_utils import TestServer

from tests.platform import Platform
from tests.security.raw import request, send
from tests.web.conftest import Browser, token_on
from tests.web.test_access import address
from web.app import LARGEST_BODY
from web.responses import SECURITY_HEADERS
from web.routes import ROUTES

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


async def test_every_answer_carries_the_headers_that_protect_it(
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
    seen = set()
    await platform.connection.execute("ALTER TABLE session_feedback RENAME TO gone")  # something to go wrong
    for browser, method, path, headers in asked:
        async with browser.request(method, path, headers=headers, allow_redirects=False) as response:
            missing = SECURITY_HEADERS.items() - response.headers.items()
            assert (missing, response.headers["Server"]) == (set(), "Tutorwatch"), (method, path)
            assert "Cache-Control" in response.headers
            seen.add(response.status)
    async with admin.get("/events") as stream:
        assert SECURITY_HEADERS.items() - stream.headers.items() == set()
        seen.add(stream.status)

    assert seen >= {200, 303, 400, 401, 403, 404, 405, 415, 500, 503}
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
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000, b"", id="endless header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n" * 100_000, id="endless headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ", b"a=b; " * 100_000, id="endless cookies"),
    ],
)
async def test_head_without_an_end_is_cut_off(start: bytes, rest: bytes, server: TestServer) -> None:
    answer = await send(server, start, rest)

    assert (answer.status, answer.is_closed) == (400, True)


async def test_body_without_an_end_is_cut_off(
    server: TestServer, nobody: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its stated length before any of it is there; else by what has come, or hasn't come in time."""
    monkeypatch.setattr("web.forms.ARRIVAL_SECONDS", 0.5)
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
