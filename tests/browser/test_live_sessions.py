"""A session that ended appears on the dashboard by itself, also one that opens no alert."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.support.platform import Platform

SOON_MS = 20_000
"""Longer than it takes on a busy machine, and a third of the time after which pages look again by themselves."""


@pytest.mark.usefixtures("listener")
async def test_session_without_an_alert_appears_and_is_counted(visitor: Visitor, platform: Platform) -> None:
    dana, ann = await visitor("dana"), await visitor("ann")
    await dana.visit("/")
    await ann.visit("/tutors/ann")
    for person in (dana, ann):
        await person.live()
        await person.page.evaluate("window.isTheSamePage = true")
    await expect(dana.page.locator("#recent")).to_contain_text("No sessions yet")

    session = await platform.session("ann", score="8.0", at=datetime.now(UTC))

    await expect(dana.page.locator(f"#session-{session}")).to_be_visible(timeout=SOON_MS)
    await expect(dana.page.locator("#statistics")).to_contain_text("1 scored session", timeout=SOON_MS)
    await expect(ann.page.locator(f"#session-{session}")).to_be_visible(timeout=SOON_MS)
    assert await platform.rows("SELECT count(*) FROM alerts") == [0]

    await platform.rows("UPDATE sessions SET status = 'cancelled' RETURNING 1")
    await expect(dana.page.locator(f"#session-{session}")).to_contain_text("Cancelled", timeout=SOON_MS)
    for person in (dana, ann):
        assert await person.page.evaluate("window.isTheSamePage")
