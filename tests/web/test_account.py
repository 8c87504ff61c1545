"""What people do about their own account."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from tests.support.browsers import Browser, Opener, SignIn, post, read_page
from tests.support.platform import Platform
from web.auth import passwords, slowdown
from web.auth.cookies import BROWSER
from web.auth.passwords import Passwords, TooBusyError, WeakPasswordError, check_password

PASSWORD = "correct horse battery"
ANOTHER = "seven purple lanterns"


@pytest.fixture
async def account(people: None, engine: AsyncEngine) -> None:  # noqa: ARG001 - the account's user
    """Dana Whitfield has a password."""
    await accounts.set_password(engine, "dana@example.test", PASSWORD)


async def signs_in(browser: Browser, password: str, email: str = "dana@example.test") -> int:
    """The status: 303 either way, so where it leads tells."""
    async with await post(browser, "/sign-in", page="/sign-in", email=email, password=password) as response:
        is_refused = response.headers.get("Location", "").startswith("/sign-in")
        return 401 if is_refused else response.status


async def change(browser: Browser, old: str, new: str, again: str | None = None) -> str:
    """What the page says of it."""
    fields = {"password": old, "new_password": new, "again": new if again is None else again}
    async with await post(browser, "/account/password", page="/account", **fields) as response:
        assert response.status == 303
    return await read_page(browser, "/account")


# A browser that is known


@pytest.mark.usefixtures("account")
async def test_nobody_can_lock_an_owner_out_of_a_browser_of_theirs(
    nobody: Browser, open_browser: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
    assert await signs_in(nobody, PASSWORD) == 303
    nobody.session.cookie_jar.clear(lambda cookie: cookie.key != BROWSER)

    stranger = await open_browser()
    answers = [await signs_in(stranger, "a guess") for _ in range(6)]
    assert answers == [401] * 5 + [429]

    assert await signs_in(nobody, PASSWORD) == 303
    assert await signs_in(stranger, PASSWORD) == 429, "the owner's success frees no stranger"


@pytest.mark.usefixtures("account")
async def test_a_known_browser_has_no_more_guesses_than_a_stranger(
    nobody: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
    assert await signs_in(nobody, PASSWORD) == 303
    nobody.session.cookie_jar.clear(lambda cookie: cookie.key != BROWSER)

    assert [await signs_in(nobody, "a guess") for _ in range(6)] == [401] * 5 + [429]


@pytest.mark.usefixtures("account")
async def test_a_browser_is_known_to_the_account_that_signed_in_there_only(
    nobody: Browser, engine: AsyncEngine, open_browser: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
    await accounts.set_password(engine, "omar@example.test", PASSWORD)
    assert await signs_in(nobody, PASSWORD, "omar@example.test") == 303
    nobody.session.cookie_jar.clear(lambda cookie: cookie.key != BROWSER)
    stranger = await open_browser()
    assert [await signs_in(stranger, "a guess") for _ in range(5)] == [401] * 5

    assert await signs_in(nobody, PASSWORD) == 429


@pytest.mark.usefixtures("account")
async def test_the_token_of_a_browser_is_out_of_reach_of_scripts_and_lasts(
    nobody: Browser,
    platform: Platform,
) -> None:
    async with await post(
        nobody, "/sign-in", page="/sign-in", email="dana@example.test", password=PASSWORD
    ) as response:
        cookie = response.cookies[BROWSER]

    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", str(365 * 86_400))
    [kept] = await platform.rows("SELECT known_browsers::text FROM tutorwatch.known_browsers")
    assert cookie.value not in kept


# Passwords


@pytest.mark.parametrize(
    "password",
    ["password1234", "aaaaaaaaaaaa", "qwertyuiop12", "dana@example.test1", "Dana Whitfield1", "123456789012", "x" * 11],
)
def test_passwords_that_are_guessed_early_are_refused(password: str) -> None:
    with pytest.raises(WeakPasswordError):
        check_password(password, about=("dana@example.test", "Dana Whitfield"))


@pytest.mark.parametrize("password", [PASSWORD, ANOTHER, "correct horse battery staple " * 35, "žluťoučký kůň úpěl"])
def test_long_ones_are_accepted(password: str) -> None:
    check_password(password[:1024])


@pytest.mark.usefixtures("account")
async def test_people_change_their_password_and_that_ends_their_other_sign_ins(
    nobody: Browser, sign_in: SignIn, open_browser: Opener, platform: Platform
) -> None:
    assert [await signs_in(browser, PASSWORD) for browser in (await open_browser(), nobody)] == [303, 303]
    elsewhere, omar = await sign_in("dana"), await sign_in("omar")

    assert "2 other sign-ins were ended" in await change(nobody, PASSWORD, ANOTHER)

    statuses = [(await each.get("/alerts", allow_redirects=False)).status for each in (nobody, elsewhere, omar)]
    assert statuses == [200, 303, 200]
    assert await platform.rows("SELECT count(*) FROM tutorwatch.known_browsers") == [1]
    await post(nobody, "/sign-out", page="/account")
    assert await signs_in(nobody, PASSWORD) == 401
    assert await signs_in(nobody, ANOTHER) == 303


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        ("a wrong one", ANOTHER, ANOTHER, "Incorrect current password."),
        (PASSWORD, ANOTHER, PASSWORD, "The two new passwords differ."),
        (PASSWORD, "password1234", "password1234", "This is a very common password."),
        (PASSWORD, "short", "short", "A password has 12 to 1024 characters."),
    ],
)
async def test_what_is_no_change_of_a_password_changes_nothing(
    old: str, new: str, again: str, said: str, nobody: Browser, platform: Platform
) -> None:
    assert await signs_in(nobody, PASSWORD) == 303
    before = await platform.rows("SELECT key_digest FROM tutorwatch.credentials")

    assert said in await change(nobody, old, new, again)

    assert await platform.rows("SELECT key_digest FROM tutorwatch.credentials") == before


@pytest.mark.usefixtures("account")
async def test_guessing_the_present_password_is_slowed_down(nobody: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)
    assert await signs_in(nobody, PASSWORD) == 303
    for _ in range(5):
        await change(nobody, "a guess", ANOTHER)

    fields = {"password": PASSWORD, "new_password": ANOTHER, "again": ANOTHER}
    async with await post(nobody, "/account/password", page="/account", **fields) as response:
        assert response.status == 429


@pytest.mark.usefixtures("people")
async def test_an_invitation_is_a_link_for_choosing_a_password(
    nobody: Browser, open_browser: Opener, engine: AsyncEngine, capsys: pytest.CaptureFixture[str], platform: Platform
) -> None:
    await accounts.invite_admin(engine, "http://host", "new@example.test", name="New Admin")
    link = capsys.readouterr().out.strip().removeprefix("http://host")
    token = link.partition("token=")[2]
    assert "new@example.test" in await read_page(nobody, link)  # as a mail scanner does

    async with await post(
        nobody, "/password", page=link, token=token, new_password="password1234", again="password1234"
    ) as response:
        assert response.status == 400
        assert "very common password" in await response.text()
    async with await post(nobody, "/password", page=link, token=token, new_password=ANOTHER, again=ANOTHER) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
    assert "New Admin" in await read_page(nobody, "/alerts")

    second = await open_browser()
    assert await signs_in(second, ANOTHER, "new@example.test") == 303
    async with await post(
        second, "/password", page="/account", token=token, new_password=PASSWORD, again=PASSWORD
    ) as response:
        assert response.headers["Location"] == "/sign-in", "it works once"
    actions = "SELECT action FROM tutorwatch.audit_trail ORDER BY id"
    assert await platform.rows(actions) == [
        "admin_created",
        "link_created",
        "password_changed",
        "sign_in",  # by the link itself
        "sign_in",
        "sign_in",
    ]


@pytest.mark.usefixtures("account")
async def test_a_link_for_signing_in_chooses_no_password_and_the_other_way_round(
    nobody: Browser, engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    to_sign_in = (await accounts.one_time_link(engine, "", "dana@example.test")).partition("token=")[2]
    await accounts.link_for_password(engine, "", "dana@example.test")
    to_choose = capsys.readouterr().out.strip().partition("token=")[2]

    fields = {"token": to_sign_in, "new_password": ANOTHER, "again": ANOTHER}
    async with await post(nobody, "/password", page="/sign-in", **fields) as response:
        assert response.headers["Location"] == "/sign-in"
    async with await post(nobody, "/sign-in/link", page="/sign-in", token=to_choose) as response:
        assert response.headers["Location"] == "/sign-in"


# Sign-ins


async def test_people_see_and_end_their_own_sign_ins(admin: Browser, sign_in: SignIn, platform: Platform) -> None:
    elsewhere, third, omar = await sign_in("dana"), await sign_in("dana"), await sign_in("omar")
    page = await read_page(admin, "/account")
    assert page.count('name="sign_in"') == 2, "of Dana's three"
    assert page.count("This one") == 1

    ids = "SELECT id FROM tutorwatch.sign_ins WHERE user_id = 'omar'"
    [omars] = await platform.rows(ids)
    await post(admin, "/account/sign-ins/end", page="/account", sign_in=str(omars))
    assert "No sign-in was ended." in await read_page(admin, "/account")
    await post(admin, "/account/sign-ins/end", page="/account")

    statuses = [(await each.get("/alerts", allow_redirects=False)).status for each in (admin, elsewhere, third, omar)]
    assert statuses == [200, 303, 303, 200]


# A queue with a bound


async def test_keys_are_computed_from_a_queue_with_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "compute_key", lambda *_: bytes(32))
    queue = Passwords()
    asked = 40

    answers = await asyncio.gather(*(queue.key("guess", None) for _ in range(asked)), return_exceptions=True)
    known = await queue.key(PASSWORD, None, is_known=True)

    refused = sum(isinstance(answer, TooBusyError) for answer in answers)
    assert refused == asked - passwords.MOST_AT_ONCE - passwords.MOST_WAITING
    assert known == bytes(32)


@pytest.mark.usefixtures("account")
async def test_a_full_queue_is_told_and_keeps_nobody_out_of_a_known_browser(
    nobody: Browser,
    open_browser: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await signs_in(nobody, PASSWORD) == 303
    nobody.session.cookie_jar.clear(lambda cookie: cookie.key != BROWSER)
    monkeypatch.setattr(passwords, "MOST_WAITING", 0)
    stranger = await open_browser()
    await read_page(stranger, "/sign-in")

    guesses = asyncio.gather(*(signs_in(stranger, "a guess", f"user{n}@example.test") for n in range(6)))
    assert await signs_in(nobody, PASSWORD) == 303
    assert 503 in await guesses
