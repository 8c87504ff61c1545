"""Times on pages: in the zone that somebody chose, else the browser's, else the installation's."""

import re
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tests.support.browsers import Browser, SignIn, post, read_page
from tests.support.platform import Platform
from web.settings import WebSettings
from web.time_zones import COOKIE, offered_zones, zone_named

HELD_AT = datetime(2026, 2, 1, 20, 30, tzinfo=UTC)
IN_BERLIN, IN_KATHMANDU, IN_UTC = "1 Feb 2026, 21:30 CET", "2 Feb 2026, 02:15 UTC+5:45", "1 Feb 2026, 20:30 UTC"


def tell(browser: Browser, zone: str) -> None:
    """As the script does it."""
    browser.session.cookie_jar.update_cookies({COOKIE: zone}, browser.make_url("/"))


@pytest.fixture
async def held(platform: Platform) -> str:
    """The address of a session."""
    return f"/sessions/{await platform.session('ann', at=HELD_AT)}"


async def test_browsers_zone_is_taken_from_its_cookie(admin: Browser, held: str) -> None:
    assert IN_UTC in await read_page(admin, held)
    tell(admin, "Asia/Kathmandu")
    page = await read_page(admin, held)
    assert IN_KATHMANDU in page
    assert IN_UTC not in page
    assert "Times in Asia/Kathmandu" in page


async def test_browser_that_uses_a_name_from_before_is_understood(admin: Browser, held: str) -> None:
    tell(admin, "Asia/Katmandu")
    page = await read_page(admin, held)
    assert IN_KATHMANDU in page
    assert "Times in Asia/Kathmandu" in page


def test_every_zone_on_offer_is_there_once() -> None:
    offered = offered_zones()
    assert len(offered) == len(set(offered)) > 300
    assert {"UTC", "Europe/Kyiv", "Asia/Kolkata", "America/Argentina/Buenos_Aires"} <= set(offered)
    for name in offered:
        assert (found := zone_named(name))
        assert found.key == name


@pytest.mark.parametrize(
    "cookie",
    ["Mars/Olympus", "Europe", "../../etc/passwd", "/etc/localtime", "zone.tab", "Ünïcode", "x" * 3000, "utc"],
)
async def test_cookie_that_names_no_zone_is_ignored(admin: Browser, held: str, cookie: str) -> None:
    jar = {each.key: each.value for each in admin.session.cookie_jar}
    header = "; ".join(f"{name}={value}" for name, value in (jar | {COOKIE: cookie}).items())
    async with admin.get(held, headers={"Cookie": header}) as response:
        assert response.status == 200
        assert IN_UTC in await response.text()


async def test_chosen_zone_counts_in_every_browser_of_that_person_only(sign_in: SignIn, held: str) -> None:
    here, there, omar = [await sign_in(user) for user in ("dana", "dana", "omar")]
    for browser in (here, there, omar):
        tell(browser, "Asia/Kathmandu")
    await post(there, "/account/time-zone", page="/account", time_zone="America/New_York")
    async with await post(here, "/account/time-zone", page="/account", time_zone="Europe/Berlin") as response:
        assert (response.status, response.headers["Location"]) == (303, "/account")
    account = await read_page(here, "/account")
    assert "Times are shown in Europe/Berlin." in account
    assert "<option selected>Europe/Berlin</option>" in account
    assert "As my browser (Asia/Kathmandu)" in account
    assert IN_BERLIN in await read_page(there, held)
    assert IN_KATHMANDU in await read_page(omar, held)

    await post(here, "/account/time-zone", page="/account", time_zone="")
    assert IN_KATHMANDU in await read_page(here, held)


async def test_zone_that_there_isnt_cannot_be_chosen(admin: Browser, platform: Platform) -> None:
    async with await post(admin, "/account/time-zone", page="/account", time_zone="Mars/Olympus") as response:
        assert response.status == 400
        assert "must be the name of a time zone" in await response.text()
    assert await platform.rows("SELECT * FROM tutorwatch.preferences") == []


async def test_dashboard_that_is_kept_is_kept_for_each_zone(
    sign_in: SignIn,
    platform: Platform,
    subscribed: None,  # noqa: ARG001 - else nothing is kept
) -> None:
    await platform.session("ann", at=HELD_AT)
    dana, omar = await sign_in("dana"), await sign_in("omar")
    tell(dana, "Asia/Kathmandu")
    for _ in range(2):
        assert IN_KATHMANDU in await read_page(dana, "/")
        assert IN_UTC in await read_page(omar, "/")


async def test_days_of_the_audit_trail_are_the_viewers(admin: Browser, platform: Platform) -> None:
    for at, details in ((HELD_AT, "late"), (datetime(2026, 2, 1, 18, 0, tzinfo=UTC), "early")):
        await platform.connection.execute(
            "INSERT INTO tutorwatch.audit_trail (at, action, outcome, object) VALUES (%s, 'sign_in', 'done', %s)",
            (at, f"entry that is {details}"),
        )
    tell(admin, "Asia/Kathmandu")
    for path in ("/audit?from=2026-02-02&to=2026-02-02", "/audit.csv?from=2026-02-02&to=2026-02-02"):
        page = await read_page(admin, path)
        assert re.findall("entry that is (late|early)", page) == ["late"], path
    assert "2026-02-01T20:30:00+00:00" in page
    for path in ("/audit?from=0001-01-01", "/audit?to=9999-12-31", "/audit?from=9999-12-31&to=0001-01-01"):
        async with admin.get(path) as response:
            assert response.status == 200, path


class TestOfTheInstallation:
    """What `TUTORWATCH_WEB_TIME_ZONE` says."""

    @pytest.fixture
    def settings(self) -> WebSettings:
        """An installation in Berlin."""
        return WebSettings(web_port=0, web_time_zone="Europe/Berlin")

    async def test_it_is_taken_where_nobody_says_otherwise(self, admin: Browser, held: str) -> None:
        assert IN_BERLIN in await read_page(admin, held)
        tell(admin, "Mars/Olympus")
        assert IN_BERLIN in await read_page(admin, held)
        tell(admin, "Asia/Kathmandu")
        assert IN_KATHMANDU in await read_page(admin, held)


def test_setting_that_names_no_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be the name of a time zone, such as Europe/Berlin"):
        WebSettings(web_time_zone="Berlin")
