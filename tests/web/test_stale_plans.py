"""The platform's DDL under a warm dashboard: plans that connections kept are made anew, and nobody notices."""

import ipaddress

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.browsers import Browser, post, token_on
from tests.support.platform import Platform
from web.auth import store
from web.auth.cookies import digest
from web.auth.identity import Scope
from web.live.hub import HUB
from web.settings import WebSettings

HERE = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
TIMES = 8
"""The driver has a statement prepared when it comes for the sixth time."""
PAGES = ("/", "/alerts", "/tutors", "/tutors/ann", "/system", "/api/alerts", "/api/tutors/ann")
CHANGES = (
    "ALTER TABLE users ALTER name TYPE varchar(300), ALTER email TYPE varchar(300)",
    "ALTER TABLE alerts ALTER title TYPE text",
    "ALTER TABLE sessions ALTER overall_session_score TYPE numeric(5,2)",
)


@pytest.fixture
def settings() -> WebSettings:
    return WebSettings(web_port=0, web_trusted_proxies=HERE, web_identity_header="X-Forwarded-Email")


@pytest.fixture
async def by_token(nobody: Browser, engine: AsyncEngine) -> Browser:
    async with engine.begin() as conn:
        await store.insert_token(conn, "reports", digest("twt-secret"), None, Scope.READ, None)
    return nobody


@pytest.mark.usefixtures("people", "subscribed")
@pytest.mark.parametrize("change", CHANGES)
async def test_every_request_is_answered(
    change: str, server: TestServer, platform: Platform, admin: Browser, by_token: Browser
) -> None:
    async def statuses() -> list[int]:
        found = []
        for path in PAGES:
            server.app[HUB].note_change()
            askers = [(admin, {}), (by_token, {"X-Forwarded-Email": "omar@example.test"})]
            if path.startswith("/api/"):
                askers.append((by_token, {"Authorization": "Bearer twt-secret"}))
            for browser, headers in askers:
                async with browser.get(path, headers=headers) as response:
                    found.append(response.status)
        async with by_token.get("/readyz") as response:
            assert response.status == 200
            assert (await response.json())["database"] == "ok"
        return found

    for _ in range(TIMES):
        await statuses()
    await platform.connection.execute(change.encode())

    assert {*await statuses(), *await statuses()} == {200}


@pytest.mark.usefixtures("people")
async def test_every_act_is_done(platform: Platform, admin: Browser) -> None:
    for number in range(TIMES):
        async with await post(admin, "/tutors/ann/notes", page="/tutors/ann", content=f"Note {number}") as response:
            assert response.status == 303
    token = await token_on(admin, "/tutors/ann")
    await platform.connection.execute("ALTER TABLE coaching_notes ALTER content TYPE varchar(5000)")
    await platform.connection.execute("ALTER TABLE users ALTER name TYPE varchar(300)")

    fields = {"csrf_token": token, "content": "The last one"}
    async with admin.post("/tutors/ann/notes", data=fields, allow_redirects=False) as response:
        assert response.status == 303
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [TIMES + 1]
