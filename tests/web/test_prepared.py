"""What pages ask again and again, the server keeps prepared: it would spend more time on planning than on reading."""

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from tests.support.browsers import Browser
from tests.support.platform import Platform
from web.keys import ENGINE
from web.live.hub import HUB

TIMES = 8
"""The driver has a statement prepared when it comes for the sixth time."""


@pytest.mark.parametrize("path", ["/", "/alerts", "/tutors", "/tutors/ann", "/system"])
async def test_statements_of_a_page_stay_prepared(
    server: TestServer, admin: Browser, platform: Platform, path: str
) -> None:
    await platform.user("ann")

    for _ in range(TIMES):
        server.app[HUB].note_change()
        async with admin.get(path) as response:
            assert response.status == 200, await response.text()

    async with server.app[ENGINE].connect() as conn:
        prepared = await conn.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    assert prepared
