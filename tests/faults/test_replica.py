"""Pages read from a replica: never older than what was announced, and from the primary where it can't serve."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psycopg
import pytest

from tests.faults.own_server import OwnServer, aside
from tests.faults.test_database import platform_on
from tests.support.command import Running
from tests.support.dashboard_process import Dashboard, browser, sign_in
from tests.support.platform import Platform
from tests.support.roles import WEB
from tests.support.servers import folder_for_servers
from tests.support.waiting import eventually
from web import reading
from web.auth.cookies import FLASH, form_token
from web.database import open_web_engine

TOKEN = "a token for the scraper"
FROM_REPLICA = "Read from a replica"


@pytest.fixture
def standby(own_server: OwnServer) -> Iterator[OwnServer]:
    """Follows the test's own server, a moment behind."""
    with tempfile.TemporaryDirectory(
        prefix="tutorwatch-", dir=folder_for_servers(), ignore_cleanup_errors=True
    ) as folder:
        standby = own_server.standby(Path(folder))
        standby.start()
        yield standby
        standby.end()


@dataclass
class Site:
    """A dashboard that reads from the standby, an admin's browser in it, and a client of the primary."""

    served: Dashboard
    admin: aiohttp.ClientSession
    platform: Platform

    async def shows(self, what: str, path: str = "/alerts") -> bool:
        return what in await self.served.page(self.admin, path)

    async def is_on_replica(self) -> bool:
        return await self.shows(FROM_REPLICA, "/tutors")

    async def is_on_primary(self) -> bool:
        return not await self.is_on_replica()

    async def is_in_use(self) -> float:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.served.address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as response,
        ):
            [line] = re.findall(r"^tutorwatch_web_replica_in_use (\S+)$", await response.text(), re.MULTILINE)
        return float(line)

    async def is_told_to_be_in_use(self) -> bool:
        return await self.is_in_use() == 1

    def warnings(self) -> list[str]:
        """Of the replica; a server that has just been through another fault may be told of, too."""
        messages = [line["message"] for line in self.served.process.logs(level="WARNING")]
        return [message for message in messages if "replica" in message]


@asynccontextmanager
async def site(own_server: OwnServer, standby: OwnServer) -> AsyncIterator[Site]:
    async with platform_on(own_server.url) as platform:
        await platform.user("dana", role="admin", name="Dana Whitfield")
        await platform.user("ann", name="Ann Lee")
        token = await sign_in(platform, "dana")
        with Running(
            "web", url=WEB.url(own_server.url), read_url=WEB.url(standby.url), web_port=0, web_metrics_token=TOKEN
        ) as process:
            address = (await process.log(action="serving"))["message"].removeprefix("Serving on ")
            async with browser(token) as admin:
                yield Site(Dashboard(process, address, token), admin, platform)


async def stop_replaying(standby: OwnServer) -> None:
    """From now on it stays as it is."""
    async with await psycopg.AsyncConnection.connect(standby.url, autocommit=True) as connection:
        await connection.execute("SELECT pg_wal_replay_pause()")


async def go_on_replaying(standby: OwnServer) -> None:
    async with await psycopg.AsyncConnection.connect(standby.url, autocommit=True) as connection:
        await connection.execute("SELECT pg_wal_replay_resume()")


async def open_alert(platform: Platform, title: str) -> None:
    await platform.insert(
        "alerts", tutor_id="ann", alert_type="no_show_pattern", severity="critical", title=title, description="d"
    )


async def test_pages_read_from_the_replica_and_say_so(own_server: OwnServer, standby: OwnServer) -> None:
    async with site(own_server, standby) as open_site:
        await eventually(open_site.is_on_replica)
        for path in ("/", "/alerts", "/tutors", "/tutors/ann"):
            assert await open_site.shows(FROM_REPLICA, path)
        assert not await open_site.shows(FROM_REPLICA, "/system")

        await stop_replaying(standby)
        await open_site.platform.rows("UPDATE users SET name = 'Ann Renamed' WHERE id = 'ann' RETURNING 1")

        assert await open_site.shows("Ann Lee", "/tutors")  # which nothing announces
        await go_on_replaying(standby)

        await eventually(lambda: open_site.shows("Ann Renamed", "/tutors"))


async def test_ddl_under_plans_that_the_replica_keeps_is_noticed_by_nobody(
    own_server: OwnServer, standby: OwnServer
) -> None:
    async with site(own_server, standby) as open_site:
        await open_alert(open_site.platform, "To be seen")
        await eventually(open_site.is_on_replica)
        for _ in range(8):  # the driver has a statement prepared when it comes for the sixth time
            await open_site.shows("Ann Lee", "/tutors/ann")
        await open_site.platform.connection.execute("ALTER TABLE users ALTER name TYPE varchar(300)")

        await eventually(open_site.is_on_replica)
        for path in ("/tutors/ann", "/tutors", "/alerts") * 3:
            assert await open_site.shows("Ann Lee", path)
        assert await open_site.is_on_replica()
        assert open_site.warnings() == []


async def test_what_was_announced_is_shown_although_the_replica_lags(own_server: OwnServer, standby: OwnServer) -> None:
    async with site(own_server, standby) as open_site:
        await eventually(open_site.is_on_replica)
        await stop_replaying(standby)

        await open_alert(open_site.platform, "Announced")

        await eventually(lambda: open_site.shows("Announced"))
        assert not await open_site.shows(FROM_REPLICA)
        assert open_site.warnings() == []
        await go_on_replaying(standby)

        await eventually(open_site.is_on_replica)
        assert await open_site.shows("Announced")


async def test_admin_sees_their_own_act_although_the_replica_lags(own_server: OwnServer, standby: OwnServer) -> None:
    async with site(own_server, standby) as open_site:
        await open_alert(open_site.platform, "To be seen")
        await eventually(lambda: open_site.shows("To be seen"))
        [alert] = await open_site.platform.rows("SELECT id FROM alerts")
        await eventually(open_site.is_on_replica)
        await stop_replaying(standby)

        form = {"csrf_token": form_token(open_site.served.token), "next": "/alerts"}
        url = f"{open_site.served.address}/alerts/{alert}/acknowledge"
        async with open_site.admin.post(url, data=form) as response:
            page = await response.text()

        assert response.status == 200, page
        assert re.search("Acknowledged by <bdi>Dana", page)
        await go_on_replaying(standby)


async def test_own_act_is_seen_through_another_dashboard_too(own_server: OwnServer, standby: OwnServer) -> None:
    """A coaching note, which nobody announces; behind a load balancer the redirect may lead to another process."""
    async with site(own_server, standby) as open_site:
        with Running("web", url=WEB.url(own_server.url), read_url=WEB.url(standby.url), web_port=0) as process:
            other = (await process.log(action="serving"))["message"].removeprefix("Serving on ")
            other_site = Site(Dashboard(process, other, open_site.served.token), open_site.admin, open_site.platform)
            await eventually(open_site.is_on_replica)
            await eventually(other_site.is_on_replica)
            await stop_replaying(standby)

            form = {"csrf_token": form_token(open_site.served.token), "content": "Call her"}
            url = f"{open_site.served.address}/tutors/ann/notes"
            async with open_site.admin.post(url, data=form, allow_redirects=False) as response:
                assert response.status == 303, await response.text()
                flash = {FLASH: response.cookies[FLASH].value}
            async with open_site.admin.get(f"{other}/tutors/ann", cookies=flash) as response:
                page = await response.text()

            assert "Call her" in page
            await go_on_replaying(standby)


async def test_replica_that_lags_far_behind_is_not_read_from(
    own_server: OwnServer, standby: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_BEHIND_SECONDS", 2.0)
    primary, replica = open_web_engine(WEB.url(own_server.url)), open_web_engine(WEB.url(standby.url))
    reads = reading.Reads(primary, replica, lambda: 0)

    async def is_on_replica() -> bool:
        async with reads.connect() as source:
            return source.as_of is not None

    async def is_on_primary() -> bool:
        return not await is_on_replica()

    await eventually(is_on_replica)
    await stop_replaying(standby)
    async with platform_on(own_server.url) as platform:
        await platform.user("ann")

    assert await is_on_replica()  # nothing was announced, and it isn't far behind yet
    await eventually(is_on_primary)
    await go_on_replaying(standby)
    await eventually(is_on_replica)

    await primary.dispose()
    await replica.dispose()


async def test_replica_that_is_gone_costs_no_page_and_is_used_again(own_server: OwnServer, standby: OwnServer) -> None:
    async with site(own_server, standby) as open_site:
        await eventually(open_site.is_on_replica)

        await aside(standby.stop)

        for _ in range(5):
            assert await open_site.is_on_primary()
        assert len(open_site.warnings()) == 1
        assert "The replica can't be read from" in open_site.warnings()[0]

        assert await open_site.is_in_use() == 0
        await asyncio.sleep(reading.SHUNNED_SECONDS + 1)  # it is left alone no more, and nobody asks for a page
        assert await open_site.is_in_use() == 0

        await aside(standby.start)

        await eventually(open_site.is_told_to_be_in_use)
        await eventually(open_site.is_on_replica)
        assert await open_site.served.process.log(action="replica_back")


async def test_replica_that_was_promoted_is_read_no_more(own_server: OwnServer, standby: OwnServer) -> None:
    async with site(own_server, standby) as open_site:
        await eventually(open_site.is_on_replica)

        await aside(standby.promote)

        await eventually(open_site.is_on_primary)
        assert ["was promoted" in warning for warning in open_site.warnings()] == [True]


async def test_reading_that_the_replica_cuts_off_begins_anew_on_the_primary(
    own_server: OwnServer, standby: OwnServer
) -> None:
    """A conflict with what is replayed: PostgreSQL ends the query."""
    async with site(own_server, standby) as open_site:
        await eventually(open_site.is_on_replica)
        async with await psycopg.AsyncConnection.connect(standby.url, autocommit=True) as connection:
            stop = asyncio.Event()

            async def cut_off() -> int:
                cut = 0
                while not stop.is_set():
                    cursor = await connection.execute(
                        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                        " WHERE application_name = 'tutorwatch-web' AND state <> 'idle'"
                    )
                    cut += (await cursor.fetchone() or (0,))[0]
                return cut

            cutting = asyncio.create_task(cut_off())
            for _ in range(20):
                await open_site.served.page(open_site.admin, "/tutors/ann")
            stop.set()
            assert await cutting > 0
