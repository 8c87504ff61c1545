"""A sign-in that ends in the middle of a form: nothing is lost, and nothing is done that nobody confirmed."""

from typing import Any

import psycopg
import pytest
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.browser.conftest import Visitor
from tests.browser.people import PASSWORD, Person
from tests.browser.test_every_page import violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.platform import Platform
from web.auth import store
from web.auth.passwords import new_password

Client = psycopg.AsyncConnection[Any]
RESOLVED = "SELECT action_taken FROM alerts WHERE resolved"


async def half_done(visitor: Visitor, platform: Platform, client: Client, **options: Any) -> Person:
    """Dana, who has written and sent what she did, while her sign-in had ended."""
    await insert_alert(platform, "ann")
    dana = await visitor("dana", **options)
    await dana.visit("/alerts?status=all")
    await dana.row("Ann Lee").locator("summary").click()
    await client.execute("DELETE FROM tutorwatch.sign_ins")
    await dana.row("Ann Lee").get_by_label("Action taken").fill("Called her, twice")
    await dana.row("Ann Lee").get_by_label("Coached").check()
    await dana.row("Ann Lee").get_by_role("button", name="Resolve alert").click()
    return dana


async def give_password(engine: AsyncEngine, user_id: str) -> None:
    async with engine.begin() as conn:
        await store.store_password(conn, user_id, new_password(PASSWORD))


async def test_text_stays_and_is_there_again_after_signing_in(
    visitor: Visitor, platform: Platform, client: Client
) -> None:
    dana = await half_done(visitor, platform, client)
    problem = dana.row("Ann Lee").get_by_role("alert")
    await expect(problem).to_contain_text("Your sign-in has ended; nothing was done.")
    await expect(dana.row("Ann Lee").get_by_label("Action taken")).to_have_value("Called her, twice")
    await expect(dana.page.locator("#live")).to_contain_text("Signed out, list as of")

    await problem.get_by_role("link", name="Sign in").click()
    await dana.sign_in("dana@example.test")

    assert dana.page.url.endswith("/alerts?status=all")
    await expect(dana.row("Ann Lee").get_by_label("Action taken")).to_have_value("Called her, twice")
    await expect(dana.row("Ann Lee").get_by_label("Coached")).to_be_checked()
    assert await platform.rows(RESOLVED) == []
    await dana.row("Ann Lee").get_by_role("button", name="Resolve alert").click()
    await expect(dana.page.locator("#flash")).to_contain_text("Resolved.")
    assert await platform.rows(RESOLVED) == ["Called her, twice"]
    assert all("401" in complaint for complaint in dana.complaints)
    dana.complaints.clear()


@pytest.mark.parametrize("email", ["dana@example.test", "omar@example.test"])
async def test_second_try_goes_through_after_signing_in_elsewhere(
    email: str, visitor: Visitor, platform: Platform, client: Client, engine: AsyncEngine
) -> None:
    await give_password(engine, "omar")
    dana = await half_done(visitor, platform, client)
    button = dana.row("Ann Lee").get_by_role("button", name="Resolve alert")
    await expect(dana.row("Ann Lee").get_by_role("alert")).to_be_visible()
    elsewhere = Person(await dana.page.context.new_page())
    await elsewhere.visit("/sign-in")
    await elsewhere.sign_in(email)
    await expect(elsewhere.page.get_by_role("button", name="Sign out")).to_be_visible()

    await dana.page.bring_to_front()
    if email.startswith("dana"):
        await button.click()
        await expect(dana.page.locator("#flash")).to_contain_text("Resolved.")
        assert await platform.rows(RESOLVED) == ["Called her, twice"]
        await dana.live()
    else:
        await dana.page.evaluate("window.dispatchEvent(new Event('focus'))")
        await expect(dana.page.locator(".account .name")).to_have_text("Omar Haddad")
        await expect(dana.page.get_by_label("Action taken").first).to_have_value("")
        assert await platform.rows(RESOLVED) == []
    dana.complaints.clear()


async def test_draft_is_for_nobody_else(
    visitor: Visitor, platform: Platform, client: Client, engine: AsyncEngine
) -> None:
    await give_password(engine, "omar")
    dana = await half_done(visitor, platform, client)
    await dana.row("Ann Lee").get_by_role("alert").get_by_role("link", name="Sign in").click()
    await dana.sign_in("omar@example.test")
    await dana.live()
    await expect(dana.page.get_by_label("Action taken").first).to_have_value("")
    assert await dana.page.evaluate("sessionStorage.length") == 0
    dana.complaints.clear()


async def test_without_a_script_what_was_typed_comes_back_to_be_confirmed(
    visitor: Visitor, platform: Platform, client: Client
) -> None:
    dana = await half_done(visitor, platform, client, java_script_enabled=False)
    await expect(dana.page.get_by_text("Your sign-in had ended: what you sent was not done.")).to_be_visible()

    await dana.page.get_by_label("E-mail").fill("dana@example.test")
    await dana.page.get_by_label("Password").fill("wrong")
    await dana.page.get_by_role("button", name="Sign in").click()
    await expect(dana.page.get_by_role("alert")).to_have_text("Incorrect e-mail address or password.")
    await expect(dana.page.get_by_label("E-mail")).to_have_value("dana@example.test")
    await dana.sign_in("dana@example.test")

    await expect(dana.page.get_by_role("heading", level=1)).to_have_text("Not sent yet")
    await expect(dana.page.locator("dl")).to_contain_text("Called her, twice")
    await expect(dana.page.locator("dl")).to_contain_text("Coached")
    assert await platform.rows(RESOLVED) == []
    assert await widths_exceeded(dana) == []
    await dana.page.get_by_role("button", name="Send it now").click()
    await expect(dana.page.locator("#flash")).to_contain_text("Resolved.")
    assert dana.page.url.endswith("/alerts?status=all")
    assert await platform.rows(RESOLVED) == ["Called her, twice"]
    assert all("401" in complaint for complaint in dana.complaints)
    dana.complaints.clear()


async def test_form_of_an_earlier_sign_in_comes_back_without_a_script(
    visitor: Visitor, platform: Platform, client: Client
) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana", java_script_enabled=False)
    await dana.visit("/tutors/ann")
    await client.execute("DELETE FROM tutorwatch.sign_ins")
    elsewhere = Person(await dana.page.context.new_page())
    await elsewhere.visit("/sign-in")
    await elsewhere.sign_in("dana@example.test")

    await dana.page.get_by_label("New note").fill("Meets again in May")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(dana.page.get_by_text("Meets again in May")).to_be_visible()
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [0]
    await dana.page.get_by_role("button", name="Send it now").click()
    await expect(dana.page.locator("#note-list")).to_contain_text("Meets again in May")
    dana.complaints.clear()


async def test_sign_in_page_with_all_it_says_is_accessible(visitor: Visitor) -> None:
    stranger = await visitor(reduced_motion="reduce")
    await stranger.visit("/sign-in")
    await stranger.page.get_by_label("E-mail").fill("dana@example.test")
    await stranger.page.get_by_label("Password").fill("wrong")
    await stranger.page.get_by_role("button", name="Sign in").click()
    await expect(stranger.page.get_by_role("alert")).to_be_visible()
    assert await violations(stranger) == []
    assert await widths_exceeded(stranger) == []
    stranger.complaints.clear()
