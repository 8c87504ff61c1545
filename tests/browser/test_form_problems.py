"""What is wrong with a form is said at its field, and what was typed stays; what was done is said where it is seen."""

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import small_targets, violations, widths_exceeded
from tests.support.alerts import insert_alert
from tests.support.platform import Platform


@pytest.mark.parametrize("has_script", [True, False])
async def test_mistake_is_said_at_its_field(has_script: bool, visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana", java_script_enabled=has_script, reduced_motion="reduce")
    await dana.visit("/alerts?status=all")
    await dana.page.locator("li.alert summary").click()
    await dana.page.get_by_label("Action taken").fill("   ")
    await dana.page.get_by_label("Message to the tutor").fill("See you on Monday")
    await dana.page.get_by_label("Other").check()
    await dana.page.get_by_role("button", name="Resolve alert").click()

    field = dana.page.get_by_label("Action taken")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description("Action taken: say what was done.")
    await expect(dana.page.locator(".problem:visible")).to_have_count(1)
    await expect(dana.page.get_by_label("Message to the tutor")).to_have_value("See you on Monday")
    await expect(dana.page.get_by_label("Other")).to_be_checked()
    if has_script:
        await expect(field).to_be_focused()
        assert await violations(dana) == []
        assert await small_targets(dana) == []
    assert await widths_exceeded(dana) == []

    await field.fill("Called her")
    await dana.page.get_by_role("button", name="Resolve alert").click()
    await expect(dana.page.locator("#flash")).to_contain_text("Resolved.")
    assert "/alerts?status=all" in dana.page.url
    assert await platform.rows("SELECT action_taken FROM alerts WHERE resolved") == ["Called her"]
    assert all("400" in complaint for complaint in dana.complaints)
    dana.complaints.clear()


async def test_note_without_words_comes_again_without_a_script(visitor: Visitor) -> None:
    dana = await visitor("dana", java_script_enabled=False)
    await dana.visit("/tutors/ann")
    await dana.page.get_by_label("New note").fill("  ")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(dana.page.get_by_label("New note")).to_have_accessible_description("Note: write something.")
    dana.complaints.clear()


async def test_each_act_says_what_was_done_where_it_is_seen(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    await platform.rows(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('ann', 5, 'error', now(), now(), now()) RETURNING 1"
    )
    dana = await visitor("dana", viewport={"width": 360, "height": 400}, reduced_motion="reduce")
    said = dana.page.locator("#flash .flash")
    await dana.visit("/tutors/ann")
    await dana.connected()
    for button, words in (
        ("Acknowledge", "Acknowledged."),
        ("Undo", "The acknowledgement is taken back."),
    ):
        await dana.page.get_by_role("button", name=button).click()
        await expect(said).to_have_text(words)
        await expect(said).to_be_in_viewport()
    await dana.page.get_by_label("New note").fill("Meets again in May")
    await dana.page.get_by_role("button", name="Add note").click()
    await expect(said).to_have_text("The note is added.")
    await expect(said).to_be_in_viewport()
    assert await violations(dana) == []
    await dana.page.get_by_role("button", name="Dismiss").click()
    await expect(said).to_have_count(0)
    await dana.visit("/system")
    await dana.page.get_by_role("button", name="Try again").first.click()
    await expect(said).to_contain_text("retried now.")


async def test_second_try_after_a_lost_answer_says_whose_it_was(visitor: Visitor, platform: Platform) -> None:
    await insert_alert(platform, "ann")
    dana = await visitor("dana")
    await dana.visit("/alerts")
    await dana.live()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await dana.page.route("**/acknowledge", lose)
    button = dana.row("Ann Lee").get_by_role("button", name="Acknowledge")
    await dana.page.route("**/alerts", lambda route: route.abort())  # the list doesn't learn of it either
    await button.click()
    await expect(dana.row("Ann Lee").get_by_role("alert").first).to_contain_text("Not sent")
    await dana.page.unroute("**/acknowledge")
    await button.click()
    await expect(dana.row("Ann Lee").get_by_role("alert").first).to_contain_text("You acknowledged this alert yourself")
    await dana.page.unroute("**/alerts")
    await expect(dana.row("Ann Lee")).to_contain_text("Acknowledged by Dana Whitfield")  # nothing is lost any more
    assert all("Failed to load resource" in complaint for complaint in dana.complaints)
    dana.complaints.clear()
