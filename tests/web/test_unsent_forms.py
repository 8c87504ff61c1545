"""A form that comes without a sign-in is carried through the next one, and comes back to be confirmed; never more."""

import json
from html import unescape

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.browsers import ALERT, Browser, SignIn, post, token_in
from tests.support.platform import Platform
from web.auth.sign_in_page import LONGEST_UNSENT, NOT_DONE

PASSWORD = "correct horse battery"
RESOLVE = f"/alerts/{ALERT}/resolve"
OWN = {"Sec-Fetch-Site": "same-origin"}
TYPED = {"action_taken": 'Called "Ann" </textarea>', "outcome": "coached", "return_to": "/tutors/ann"}


@pytest.fixture
async def account(people: None, engine: AsyncEngine) -> None:  # noqa: ARG001 - the account's user
    """Dana Whitfield has a password."""
    await accounts.set_password(engine, "dana@example.test", PASSWORD)


@pytest.mark.usefixtures("account")
async def test_it_is_shown_after_signing_in_and_sent_by_a_person(nobody: Browser, platform: Platform) -> None:
    async with nobody.post(RESOLVE, data=TYPED | {"csrf_token": "old"}, headers=OWN) as response:
        page = await response.text()
        assert (response.status, NOT_DONE in page) == (401, True)
    unsent = unescape(page.partition('name="unsent" value="')[2].partition('"')[0])
    assert json.loads(unsent) == {"path": RESOLVE, "fields": TYPED}

    fields = {"email": "dana@example.test", "password": PASSWORD, "next": "/tutors/ann", "unsent": unsent}
    async with await post(nobody, "/sign-in", page="/sign-in", **fields) as response:
        page = await response.text()
    assert response.status == 200
    assert 'Called "Ann" </textarea>' in unescape(page)
    assert "</textarea>" not in page
    assert await platform.rows("SELECT resolved FROM alerts") == [False]

    sent = TYPED | {"csrf_token": token_in(page)}
    async with nobody.post(RESOLVE, data=sent, headers=OWN, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/tutors/ann")
    assert await platform.rows("SELECT action_taken FROM alerts WHERE resolved") == [TYPED["action_taken"]]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param(RESOLVE, {"Sec-Fetch-Site": "cross-site"}, id="of another site"),
        pytest.param(RESOLVE, {"Origin": "https://evil.example"}, id="of another origin"),
        pytest.param(RESOLVE, {}, id="of nobody knows whom"),
        pytest.param("/account/password", OWN, id="with passwords"),
    ],
)
async def test_what_may_not_be_ours_is_not_carried(path: str, headers: dict[str, str], nobody: Browser) -> None:
    async with nobody.post(path, data={"password": "secret words"}, headers=headers, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sign-in")
        assert "secret words" not in await response.text()


async def test_form_of_an_earlier_sign_in_comes_back_to_our_own_page_only(admin: Browser, platform: Platform) -> None:
    for headers, is_shown in ((OWN, True), ({"Sec-Fetch-Site": "cross-site"}, False), ({}, False)):
        async with admin.post(RESOLVE, data=TYPED | {"csrf_token": "0" * 64}, headers=headers) as response:
            assert (response.status, "Send it now" in await response.text()) == (403, is_shown)
    assert await platform.rows("SELECT resolved FROM alerts") == [False]


async def test_too_long_a_text_is_said_to_be_lost(admin: Browser) -> None:
    typed = TYPED | {"action_taken": "x" * (LONGEST_UNSENT + 1), "csrf_token": "0" * 64}
    async with admin.post(RESOLVE, data=typed, headers=OWN) as response:
        page = await response.text()
    assert "too long to be kept" in page
    assert "xxx" not in page


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "unsent",
    [
        "nonsense",
        "[]",
        '{"path": 1}',
        '{"path": "//evil.example/x", "fields": {}}',
        '{"path": "/account/password", "fields": {"password": "x"}}',
        '{"path": "/alerts", "fields": []}',
        "[" * 50_000,
    ],
)
async def test_what_is_no_form_of_ours_is_left(unsent: str, nobody: Browser) -> None:
    fields = {"email": "dana@example.test", "password": PASSWORD, "next": "/tutors", "unsent": unsent}
    async with await post(nobody, "/sign-in", page="/sign-in", **fields) as response:
        assert (response.status, response.headers["Location"]) == (303, "/tutors")


@pytest.mark.parametrize(
    ("user_id", "following", "expected"),
    [
        ("dana", "/alerts?status=all", "/alerts?status=all"),
        ("dana", "//evil.example", "/"),
        ("dana", "https://evil.example", "/"),
        ("dana", "/\\evil.example", "/"),
        ("ann", "/", "/tutors/ann"),
        ("ann", "/account", "/account"),
        ("ann", "", "/tutors/ann"),
    ],
)
async def test_who_is_signed_in_already_is_led_on(user_id: str, following: str, expected: str, sign_in: SignIn) -> None:
    browser = await sign_in(user_id)
    async with browser.get("/sign-in", params={"next": following}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, expected)


async def test_sign_in_page_says_that_the_sign_in_has_ended(admin: Browser, platform: Platform) -> None:
    await platform.rows("DELETE FROM tutorwatch.sign_ins RETURNING 1")
    async with admin.get("/alerts") as response:
        assert "Your sign-in has ended." in await response.text()
