"""Somebody in front of the dashboard: headless Chromium, where it and its driver are installed."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.dashboard_process import Dashboard

NOT_INSTALLED = "no browser: `pip install playwright`, and Chromium on the PATH or in TUTORWATCH_TEST_BROWSER"

_WATCH = """() => {
    window.seenAt = {};
    const look = () => {
        for (const { pathname } of document.querySelectorAll("#critical a.who")) window.seenAt[pathname] ??= Date.now();
    };
    look();
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def find_browser() -> str | None:
    """Where Chromium is; None without it, or without playwright."""
    try:
        import playwright.async_api  # noqa: F401 - only asked whether it is there
    except ImportError:
        return None
    return os.environ.get("TUTORWATCH_TEST_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")


class OpenPage:
    """The dashboard, open and live."""

    def __init__(self, page: Any) -> None:
        self._page = page

    async def seen_at(self) -> dict[str, float]:
        """When each tutor's link was first among the critical alerts: seconds of the clock, by path."""
        seen: dict[str, float] = await self._page.evaluate("window.seenAt")
        return {path: milliseconds / 1000 for path, milliseconds in seen.items()}


@asynccontextmanager
async def open_dashboard(executable: str, dashboard: Dashboard) -> AsyncIterator[OpenPage]:
    """`/` in a browser that is signed in, from the moment it is live."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            context = await browser.new_context(base_url=dashboard.url)
            await context.add_cookies(
                [{"name": dashboard.cookie_name, "value": dashboard.cookie, "url": dashboard.url}]
            )
            page = await context.new_page()
            await page.goto("/")
            await page.locator("#live.is-live").wait_for()
            await page.evaluate(_WATCH)
            yield OpenPage(page)
        finally:
            await browser.close()
