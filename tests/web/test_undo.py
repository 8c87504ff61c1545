"""A wrong acknowledgement or resolution is taken back, right after it or later."""

from base64 import urlsafe_b64encode
from json import dumps

from tests.support.browsers import ALERT, Browser, post, read_page
from tests.support.platform import Platform

HERE = f"/alerts/{ALERT}"
STATE = "SELECT acknowledged, resolved, action_taken FROM alerts"


async def test_acknowledgement_is_offered_to_be_taken_back(admin: Browser, platform: Platform) -> None:
    await post(admin, f"{HERE}/acknowledge")

    page = await read_page(admin, "/alerts")
    assert "Acknowledged." in page
    assert f'action="{HERE}/unacknowledge"' in page

    await post(admin, f"{HERE}/unacknowledge")
    page = await read_page(admin, "/alerts")
    assert "The acknowledgement is taken back." in page
    assert f'action="{HERE}/unacknowledge"' not in page
    assert await platform.rows(STATE) == [(False, False, None)]


async def test_resolution_is_offered_to_be_taken_back(admin: Browser, platform: Platform) -> None:
    await post(admin, f"{HERE}/resolve", action_taken="Wrong one", outcome="coached")
    assert f'action="{HERE}/reopen"' in await read_page(admin, "/alerts")

    await post(admin, f"{HERE}/reopen")

    assert "Reopened." in await read_page(admin, "/alerts")
    assert await platform.rows(STATE) == [(False, False, None)]
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [0]
    assert await platform.rows(
        "SELECT action, actor, object FROM tutorwatch.audit_trail WHERE action = 'alert_reopened'"
    ) == [("alert_reopened", "dana", f"alert {ALERT}")]


async def test_alert_has_a_page_with_its_history(admin: Browser) -> None:
    await post(admin, f"{HERE}/resolve", action_taken="Wrong one", outcome="not_actionable")
    page = await read_page(admin, HERE)
    assert "<strong>Resolved</strong> by <bdi>Dana Whitfield</bdi>" in page
    assert "Not actionable" in page

    await post(admin, f"{HERE}/reopen", page=HERE)

    page = await read_page(admin, HERE)
    history = page[page.index('id="history"') :]
    assert history.index("<strong>Reopened</strong>") < history.index("<strong>Resolved</strong>")
    assert f'action="{HERE}/resolve"' in page


async def test_reopening_what_is_open_changes_nothing_and_says_so(admin: Browser, platform: Platform) -> None:
    await post(admin, f"{HERE}/reopen")

    assert "Somebody reopened this alert; nothing was changed." in await read_page(admin, "/alerts")
    assert await platform.rows("SELECT count(*) FROM tutorwatch.alert_history WHERE event = 'reopened'") == [0]


async def test_reopening_beside_another_open_one_says_why_not(admin: Browser, platform: Platform) -> None:
    await post(admin, f"{HERE}/resolve", action_taken="Done", outcome="coached")
    await platform.connection.execute(
        "INSERT INTO alerts (tutor_id, alert_type, severity, title, description)"
        " SELECT tutor_id, alert_type, severity, title, description FROM alerts"
    )

    await post(admin, f"{HERE}/reopen")

    assert "The tutor has another open alert of this type; nothing was changed." in await read_page(admin, "/alerts")


async def test_nobody_can_have_another_address_offered_as_undo(admin: Browser) -> None:
    forged = urlsafe_b64encode(dumps({"kind": "done", "text": "Hello", "undo": "/sign-out"}).encode()).decode()
    async with admin.get("/alerts", headers={"Cookie": f"tutorwatch_flash={forged}"}) as response:
        page = await response.text()
    assert 'class="undo" method="post" action="/sign-out"' not in page


async def test_unknown_alert_is_not_found(admin: Browser) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    async with admin.get(f"/alerts/{unknown}") as response:
        assert response.status == 404
    async with await post(admin, f"/alerts/{unknown}/reopen") as response:
        assert response.status == 404
