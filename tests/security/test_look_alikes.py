"""One way to compare e-mail addresses: ASCII letters without their case, and nothing else."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.browsers import Browser, post
from tests.support.platform import Platform
from web.auth import slowdown, store

KELVIN = "\N{KELVIN SIGN}im@example.test"


@pytest.fixture(autouse=True)
async def _kim(platform: Platform) -> None:
    await platform.user("kim", role="admin")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        pytest.param("kim@example.test", "kim", id="as it is"),
        pytest.param("KIM@Example.Test", "kim", id="in another case"),
        pytest.param(KELVIN, None, id="with the sign for kelvin"),
        pytest.param("k\N{LATIN SMALL LETTER DOTLESS I}m@example.test", None, id="with a dotless i"),
    ],
)
async def test_only_the_case_of_ascii_letters_may_differ(engine: AsyncEngine, written: str, found: str | None) -> None:
    async with engine.begin() as conn:
        account = await store.find_account(conn, written)
    assert (account and account.user_id) == found


async def test_attempts_are_counted_by_the_account_that_is_found(
    nobody: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
    said = []
    for number in range(slowdown.FREE_BY_ACCOUNT + 1):
        email = "".join(letter.upper() if number >> place & 1 else letter for place, letter in enumerate("kim"))
        said.append(await guess(nobody, f"{email}@example.test"))
    assert said == [401] * slowdown.FREE_BY_ACCOUNT + [429]


async def test_failures_in_the_future_are_not_believed(nobody: Browser, platform: Platform) -> None:
    """As after a clock that was ahead: they would lock an account for as long as it was."""
    for _ in range(slowdown.FREE_BY_ACCOUNT + 1):
        await guess(nobody, "kim@example.test")
    await platform.rows("UPDATE tutorwatch.sign_in_failures SET failed_at = now() + interval '1 day' RETURNING 1")

    assert await guess(nobody, "kim@example.test") == 401


async def guess(browser: Browser, email: str) -> int:
    """The answer's status to a wrong password."""
    headers = {"Accept": "application/json"}
    async with await post(browser, "/sign-in", page="/sign-in", headers=headers, email=email, password="x") as answer:
        return answer.status
