"""Forms are accepted from our own pages only, and only as forms; actions say what came of them."""

import re
from typing import Any

import aiohttp
import pytest

from rules.life import Outcome
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT, Browser, SignIn, post, read_page, token_on
from tests.support.platform import Platform
from web.http.inputs import FIELD_LABELS
from web.settings import WebSettings

ACKNOWLEDGE = f"/alerts/{ALERT}/acknowledge"
UNDO = f"/alerts/{ALERT}/unacknowledge"
RESOLVE = f"/alerts/{ALERT}/resolve"


async def status_of(browser: Browser, path: str, **sent: Any) -> int:
    async with browser.post(path, allow_redirects=False, **sent) as response:
        return response.status


async def test_form_without_its_token_is_refused(admin: Browser, platform: Platform) -> None:
    assert await status_of(admin, ACKNOWLEDGE, data={}) == 403
    assert await status_of(admin, ACKNOWLEDGE, data={"csrf_token": "0" * 64}) == 403
    assert await status_of(admin, ACKNOWLEDGE, headers={"X-CSRF-Token": "é"}) == 403

    assert await platform.rows("SELECT acknowledged FROM alerts") == [False]


async def test_token_of_somebody_else_is_refused(admin: Browser, sign_in: SignIn) -> None:
    foreign = await token_on(await sign_in("omar"), "/alerts")

    assert await status_of(admin, ACKNOWLEDGE, data={"csrf_token": foreign}) == 403


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 303, id="own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 303, id="reloaded by hand"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="another host of the domain"),
        pytest.param({"Origin": "https://evil.example"}, 403, id="another origin"),
        pytest.param({"Origin": "null"}, 403, id="hidden origin"),
        pytest.param({"Origin": "OWN"}, 303, id="own origin"),
        pytest.param({"Origin": "OWN", "Sec-Fetch-Site": "cross-site"}, 403, id="both count"),
    ],
)
async def test_form_from_another_site_is_refused(headers: dict[str, str], expected: int, admin: Browser) -> None:
    own = str(admin.make_url("/")).rstrip("/")
    headers = {name: value.replace("OWN", own) for name, value in headers.items()}

    async with await post(admin, ACKNOWLEDGE, headers=headers) as response:
        assert response.status == expected


class TestBehindTheSetAddress:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_url="http://tutorwatch.example/")

    async def test_only_that_origin_is_ours(self, admin: Browser) -> None:
        own = str(admin.make_url("/")).rstrip("/")
        for origin, expected in ((own, 403), ("http://tutorwatch.example", 303)):
            async with await post(admin, ACKNOWLEDGE, headers={"Origin": origin}) as response:
                assert response.status == expected


async def test_what_is_not_a_form_is_refused_with_the_reason(admin: Browser) -> None:
    token = {"X-CSRF-Token": await token_on(admin, "/alerts")}

    assert await status_of(admin, RESOLVE, headers=token, json={"action_taken": "called"}) == 415
    assert await status_of(admin, RESOLVE, headers=token, data={"action_taken": "x" * 300_000}) == 413
    assert await status_of(admin, RESOLVE, headers=token | {"Content-Encoding": "gzip"}, data={"a": "b"}) == 415
    unknown = token | {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    assert await status_of(admin, RESOLVE, headers=unknown, data=b"a=b") == 400


async def test_what_is_not_a_form_is_refused_before_anything_is_done(admin: Browser, platform: Platform) -> None:
    token = {"X-CSRF-Token": await token_on(admin, "/alerts")}
    for more in ({"Content-Type": "text/plain"}, {"Accept": "application/json", "Content-Type": "application/json"}):
        assert await status_of(admin, ACKNOWLEDGE, headers=token | more, data=b"") == 415
    assert await status_of(admin, ACKNOWLEDGE, headers=token | {"Content-Type": "charset=a"}, data=b"x") == 415

    assert await platform.rows("SELECT acknowledged FROM alerts") == [False]


async def test_file_is_not_a_field(admin: Browser) -> None:
    form = aiohttp.FormData()
    form.add_field("content", b"bytes", filename="note.txt", content_type="text/plain")
    token = {"X-CSRF-Token": await token_on(admin, "/alerts")}

    assert await status_of(admin, "/tutors/ann/notes", headers=token, data=form) == 415


async def test_acknowledging_says_so_once_and_leads_back(admin: Browser, platform: Platform) -> None:
    async with await post(admin, ACKNOWLEDGE, return_to="/tutors/ann") as response:
        assert (response.status, response.headers["Location"]) == (303, "/tutors/ann")

    assert await platform.rows("SELECT acknowledged, acknowledged_by FROM alerts") == [(True, "dana")]
    assert "Acknowledged." in await read_page(admin, "/tutors/ann")
    assert "Acknowledged." not in await read_page(admin, "/tutors/ann")


async def test_message_is_not_lost_to_a_script_that_refreshes_the_page(admin: Browser) -> None:
    await post(admin, ACKNOWLEDGE)

    async with admin.get("/alerts", headers={"Sec-Fetch-Dest": "empty"}) as response:
        assert "Acknowledged." not in await response.text()

    assert "Acknowledged." in await read_page(admin, "/alerts")


async def test_resolving_leaves_what_was_done_and_a_note(admin: Browser, platform: Platform) -> None:
    async with await post(admin, RESOLVE, action_taken=" Called Ann. ", outcome="coached") as response:
        assert (response.status, response.headers["Location"]) == (303, "/alerts")

    assert await platform.rows("SELECT resolved, action_taken FROM alerts") == [(True, "Called Ann.")]
    assert await platform.rows("SELECT resolved_by, outcome FROM tutorwatch.alert_resolutions") == [("dana", "coached")]
    assert await platform.rows("SELECT note_type::text, created_by FROM coaching_notes") == [("system", "dana")]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"action_taken": "  ", "outcome": "coached"}, "action_taken", id="nothing done"),
        pytest.param({"action_taken": "Called", "outcome": "ignored"}, "outcome", id="unknown outcome"),
        pytest.param({"action_taken": "Called"}, "outcome", id="no outcome"),
        pytest.param({"action_taken": "Ca\x00lled", "outcome": "other"}, "action_taken", id="NUL"),
        pytest.param({"action_taken": "x" * 10_001, "outcome": "other"}, "action_taken", id="too long"),
        pytest.param({"action_taken": "Called", "outcome": "duplicate"}, "outcome", id="outcome of no person"),
        pytest.param({"action_taken": "Called", "outcome": "other", "extra": "1"}, "extra", id="unknown field"),
        pytest.param(
            {"action_taken": "Called", "outcome": "other", "message_to_tutor": "x" * 10_001},
            "message_to_tutor",
            id="long message",
        ),
    ],
)
async def test_mistake_in_a_form_is_named_and_changes_nothing(
    fields: dict[str, str], named: str, admin: Browser, platform: Platform
) -> None:
    async with await post(admin, RESOLVE, **fields) as response:
        page = await response.text() if response.status == 400 else await read_page(admin, "/alerts")
    label = FIELD_LABELS.get(named, "Extra")
    assert f"{label}: " in page
    assert (response.status == 400) is (named != "extra")
    assert ('aria-invalid="true"' in page) is (named != "extra")

    async with await post(admin, RESOLVE, headers={"Accept": "application/json"}, **fields) as response:
        assert response.status == 400
        problem = await response.json(content_type="application/problem+json")
        assert [error["field"] for error in problem["errors"]] == [named]
    assert await platform.rows("SELECT resolved FROM alerts") == [False]


@pytest.mark.parametrize(
    ("written", "kept"), [(" See you on Monday. ", "See you on Monday."), ("", None), ("x" * 10_000, "x" * 10_000)]
)
async def test_message_to_the_tutor_is_optional(
    written: str, kept: str | None, admin: Browser, platform: Platform
) -> None:
    fields = {"action_taken": "Called", "outcome": "condition_cleared", "message_to_tutor": written}
    await post(admin, RESOLVE, **fields)

    resolution = "SELECT outcome, message_to_tutor FROM tutorwatch.alert_resolutions"
    assert await platform.rows(resolution) == [("condition_cleared", kept)]
    assert "See you" not in "".join(await platform.rows("SELECT content FROM coaching_notes"))


async def test_form_says_who_reads_what_and_chooses_no_outcome(admin: Browser) -> None:
    page = await read_page(admin, "/alerts")
    form = page[page.index(f'action="{RESOLVE}"') :].partition("</form>")[0]

    assert re.findall(r'name="outcome" value="(\w+)"', form) == [outcome.value for outcome in Outcome]
    assert "checked" not in form
    assert 'Action taken <span class="soft">(only admins read this)</span>' in form
    assert 'Message to the tutor <span class="soft">(optional; they read it on their page)</span>' in form


async def test_second_admin_learns_who_was_first(sign_in: SignIn, platform: Platform) -> None:
    dana, omar = await sign_in("dana"), await sign_in("omar")
    await post(dana, RESOLVE, action_taken="Called Ann.", outcome="coached")
    for table in (b"alerts", b"tutorwatch.alert_resolutions"):
        await platform.connection.execute(b"UPDATE " + table + b" SET resolved_at = resolved_at - interval '2 minutes'")

    await post(omar, RESOLVE, action_taken="Wrote to Ann.", outcome="other")
    message = "Dana Whitfield resolved this alert 2 minutes ago; nothing was changed."
    assert message in await read_page(omar, "/alerts")

    async with await post(omar, ACKNOWLEDGE, headers={"Accept": "application/json"}) as response:
        assert response.status == 409
        problem = await response.json(content_type="application/problem+json")
        assert problem["detail"] == message
    assert await platform.rows("SELECT action_taken FROM alerts") == ["Called Ann."]
    assert await platform.rows("SELECT count(*) FROM coaching_notes") == [1]


async def test_script_gets_no_redirect(admin: Browser) -> None:
    async with await post(admin, ACKNOWLEDGE, headers={"Accept": "application/json"}) as response:
        assert await response.json() == {"text": "Acknowledged.", "undo": UNDO}


async def test_note_is_kept_as_it_was_written(admin: Browser, platform: Platform) -> None:
    content = "<script>alert(1)</script> & 'quoted' \u202ea b"

    async with await post(admin, "/tutors/ann/notes", content=content) as response:
        assert response.headers["Location"] == "/tutors/ann"

    kept = "SELECT content, note_type::text, created_by, created_at <= now() AT TIME ZONE 'UTC' FROM coaching_notes"
    assert await platform.rows(kept) == [(content, "manual", "dana", True)]
    async with admin.get("/tutors/ann") as response:
        assert "<script>alert(1)</script>" not in await response.text()


@pytest.mark.parametrize("user_id", ["nobody", "dana", "x" * 200, "%00", "%2F..%2F"])
async def test_note_about_nobody_is_not_found(user_id: str, admin: Browser) -> None:
    async with await post(admin, f"/tutors/{user_id}/notes", content="Hello") as response:
        assert response.status == 404


@pytest.mark.parametrize("alert_id", ["00000000-0000-4000-8000-000000000000", "17", "%00", "a" * 36])
async def test_unknown_alert_is_not_found(alert_id: str, admin: Browser) -> None:
    for action in ("acknowledge", "resolve"):
        fields = {"action_taken": "Called", "outcome": "other"} if action == "resolve" else {}
        async with await post(admin, f"/alerts/{alert_id}/{action}", **fields) as response:
            assert response.status == 404
            assert response.content_type == "text/html"


async def test_failing_tutors_are_tried_again(admin: Browser, platform: Platform) -> None:
    insert = (
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " SELECT id, 5, 'error', now(), now(), now() FROM unnest(%s::text[]) AS id"
    )
    await platform.connection.execute(insert, [["ann", "bob", "gone"]])
    await platform.connection.execute("TRUNCATE tutorwatch.outbox")

    await post(admin, "/system/retry", page="/system", tutor_id="ann")
    due = "SELECT tutor_id FROM tutorwatch.failures WHERE attempts = 0 AND next_attempt_at <= clock_timestamp()"
    assert await platform.rows(due) == ["ann"]
    parked = "SELECT tutor_id FROM tutorwatch.failures WHERE parked_at IS NOT NULL ORDER BY 1"
    assert await platform.rows(parked) == ["bob", "gone"]

    await post(admin, "/system/retry", page="/system", all="1")
    assert "3 tutors are retried now." in await read_page(admin, "/system")
    assert await platform.rows(parked) == []


@pytest.mark.parametrize("fields", [{}, {"all": "1", "tutor_id": "ann"}, {"all": "maybe"}])
async def test_retry_needs_one_tutor_or_all(fields: dict[str, str], admin: Browser) -> None:
    async with await post(admin, "/system/retry", headers={"Accept": "application/json"}, **fields) as response:
        assert response.status == 400


async def test_alert_of_another_client_is_acted_on_as_well(admin: Browser, platform: Platform) -> None:
    await insert_alert(platform, "bob", alert_type="student_churn_risk", severity="info")
    [alert_id] = await platform.rows("SELECT id FROM alerts WHERE tutor_id = 'bob'")

    async with await post(admin, f"/alerts/{alert_id}/resolve", action_taken="Called", outcome="other") as response:
        assert response.status == 303

    assert await platform.rows("SELECT resolved FROM alerts WHERE tutor_id = 'bob'") == [True]
