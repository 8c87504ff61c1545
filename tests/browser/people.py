"""Somebody in front of a browser, and the browser's complaints."""

import re
from dataclasses import dataclass, field

from playwright.async_api import ConsoleMessage, Locator, Page

PASSWORD = "a long and unlikely password"


@dataclass
class Person:
    """A page, and what went wrong on it: console errors, uncaught exceptions, policy violations."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def visit(self, path: str) -> None:
        """Opens a page of the site."""
        await self.page.goto(path)

    async def sign_in(self, email: str) -> None:
        """By the form, as the page stands."""
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()

    async def resolve(self, row: Locator, action: str, outcome: str = "Coached") -> None:
        """Opens the row's form, says what was done, and sends it."""
        await row.locator("summary").click()
        await row.get_by_label("Action taken").fill(action)
        await row.get_by_label(outcome).check()
        await row.get_by_role("button", name="Resolve alert").click()

    async def live(self) -> None:
        """Waits until the page says that it is live."""
        await self.page.locator("#live.is-live").wait_for()

    async def connected(self) -> None:
        """Waits until the page follows what happens, whether or not everything is evaluated."""
        await self.page.locator("#live", has_text=re.compile(r"^(Live|Not all up to date)$")).wait_for()

    def row(self, text: str) -> Locator:
        """The alert that contains the text."""
        return self.page.locator("li.alert").filter(has_text=text)

    def news(self) -> Locator:
        """The button behind which rows wait, while somebody is in a list."""
        return self.page.locator(".news button")
