"""What is no request: answered on every port without a word of what was sent or of what answers, and protected."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from database.serving import HSTS, SECURITY_HEADERS
from rules.thresholds import Thresholds
from tests.support.listening import listening
from tests.support.platform import Platform
from tests.support.raw_requests import Answer, request, send
from tests.support.roles import WEB
from tests.support.waiting import eventually
from web.service import run_web
from web.settings import WebSettings

SENT = b"Xyzzy"
"""Is in whatever is sent, and must be in no answer."""


@dataclass
class Port:
    """An address that something is served on."""

    host: str
    port: int | None


@pytest.fixture
async def ports(
    database_url: str, thresholds: Thresholds, platform: Platform, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[dict[str, Port]]:
    """The dashboard's port, the one of its metrics and the listener's, of the services as they run."""
    assert platform.connection
    caplog.set_level(logging.INFO)
    settings = WebSettings(web_port=0, web_metrics_port=0, web_url="https://tutorwatch.example")
    stop = asyncio.Event()
    running = asyncio.create_task(run_web(WEB.url(database_url), settings, thresholds, "9.9", stop))
    async with listening(database_url, listener_port=0):

        async def served() -> dict[str, Port] | None:
            told = [r for r in caplog.records if getattr(r, "action", "") == "serving"]
            web = [_port(record) for record in told if record.name == "web.service"]
            listeners = [_port(record) for record in told if record.name == "listener.service"]
            if (len(web), len(listeners)) != (2, 1):
                return None
            return {"dashboard": web[0], "metrics": web[1], "listener": listeners[0]}

        found = await eventually(served)
        assert found
        yield found
        stop.set()
        await running


def _port(record: logging.LogRecord) -> Port:
    address = urlsplit(record.getMessage().removeprefix("Serving on "))
    assert address.hostname
    assert address.port
    return Port(address.hostname, address.port)


NO_REQUESTS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00" + SENT + b"\r\n\r\n",
    "words": SENT + b" hello\r\n\r\n",
    "version": b"GET /" + SENT + b" HTTP/9.9\r\n\r\n",
    "no version": b"GET /" + SENT + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM" + SENT + b"\r\n\r\n",
    "bytes in the path": b"GET /" + SENT + b"\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "address without a host": b"GET http://[::1" + SENT + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "port that is none": b"GET http://x:99999999/" + SENT + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "proxy": b"CONNECT " + SENT + b":443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "method": SENT + b"! / HTTP/1.1\r\nHost: x\r\n\r\n",
    "endless path": b"GET /" + SENT * 10_000,
    "endless header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + SENT * 20_000,
    "endless name": b"GET / HTTP/1.1\r\nHost: x\r\n" + SENT * 20_000 + b": x\r\n\r\n",
    "header without a colon": b"GET / HTTP/1.1\r\n" + SENT + b"\r\n\r\n",
    "header with a NUL": b"GET / HTTP/1.1\r\nX: " + SENT + b"\x00\r\n\r\n",
    "two hosts": request("/", "Host: " + SENT.decode()),
    "length": request("/", "Content-Length: " + SENT.decode()),
    "encoding": request("/sign-in", "Transfer-Encoding: " + SENT.decode(), method="POST"),
    "chunks": request("/sign-in", "Transfer-Encoding: chunked", method="POST", body=SENT + b"\r\n"),
}
REFUSED = {
    "expectation": request("/healthz", "Expect: " + SENT.decode()),
    "address": request(f"/{SENT.decode()}"),
    "way": request("/metrics", method=SENT.decode().upper()),
    "upgrade": request(f"/{SENT.decode()}", "Connection: Upgrade", "Upgrade: " + SENT.decode()),
}


@pytest.mark.parametrize("where", ["dashboard", "metrics", "listener"])
async def test_answer_to_what_is_no_request_tells_nothing_and_is_protected(
    where: str, ports: dict[str, Port], caplog: pytest.LogCaptureFixture
) -> None:
    unparsed = {what: await send(ports[where], sent, patience=2) for what, sent in NO_REQUESTS.items()}
    refused = {what: await send(ports[where], sent, patience=2) for what, sent in REFUSED.items()}

    assert [what for what, answer in unparsed.items() if answer.status not in (400, 404, 405)] == []
    assert [what for what, answer in refused.items() if answer.status not in (400, 404, 405, 417)] == []
    for what, answer in (unparsed | refused).items():
        assert _what_is_wrong(answer, where) == [], what
    assert [r for r in caplog.records if r.levelno >= logging.ERROR or SENT.decode() in str(r.exc_info)] == []


def _what_is_wrong(answer: Answer, where: str) -> list[str]:
    expected = SECURITY_HEADERS | {"Server": "Tutorwatch", "Cache-Control": "no-store"}
    if where == "dashboard":  # whose setting says that it is reached by https
        expected |= HSTS
    wrong = [f"{name}: {answer.headers.get(name)}" for name in expected if answer.headers.get(name) != expected[name]]
    everything = str(answer.headers).encode() + answer.body
    return wrong + [
        told.decode() for told in (SENT, b"ython", b"aiohttp", b"/3.") if told.lower() in everything.lower()
    ]


@pytest.mark.parametrize("where", ["dashboard", "metrics", "listener"])
async def test_every_address_of_every_port_is_protected(where: str, ports: dict[str, Port]) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/", "/nothing"):
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            answer = await send(ports[where], request(path, method=method))
            assert SECURITY_HEADERS.items() - answer.headers.items() == set(), (method, path)
            assert (answer.headers["Server"], answer.headers["Cache-Control"]) == ("Tutorwatch", "no-store")
