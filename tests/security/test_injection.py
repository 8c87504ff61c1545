"""No text that is stored or given becomes a statement or a script: it is kept, compared and shown as the text it is."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import event

from tests.support.browsers import ALERT, SESSION, Browser, SignIn, token_on
from tests.support.platform import Platform
from web.keys import ENGINE

SCRIPT = """'"></textarea></title><x-injected onload="x()"></x-injected><script>x()</script>{{7*7}}javascript:x()"""
"""Breaks out of text, of attributes in either quotes, of a text area and of a title; and is a template, too."""
STATEMENT = "x-injected' OR 1=1; DROP TABLE tutorwatch.sign_ins; SELECT pg_sleep(9); --\" \\ % :id %(a)s $1 {x}"
MARK = "x-injected"


LEADS = re.compile(r"\w+ [/#].*|a mailto:[\w.%+-]+@[\w.%-]+", re.DOTALL)
"""Where a page may lead: into the site, and to an address without a subject or further recipients."""


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.dangers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            runs = name.startswith("on") or name in ("style", "srcdoc")
            is_link = name in ("href", "src", "action", "formaction")
            leads_astray = is_link and not LEADS.fullmatch(f"{tag} {value or ''}")
            if runs or leads_astray:
                self.dangers.append(f'{tag} {name}="{value}"')
        if tag == "script" and not dict(attrs).get("src"):
            self.dangers.append("a script in the page")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
async def _texts(people: None, platform: Platform) -> None:  # noqa: ARG001 - whose texts they become
    """The script in every text that a page could show, for all whom the pages are about."""
    connection = platform.connection
    await connection.execute("UPDATE users SET name = left(id || %s, 255), preferred_name = %s", [SCRIPT, SCRIPT])
    await connection.execute("UPDATE subjects SET name = left(%s, 100)", [SCRIPT])
    await connection.execute("UPDATE tutors SET bio = %s", [SCRIPT])
    await connection.execute(
        "UPDATE sessions SET technical_issues = true, technical_issues_description = %s, ai_summary = %s",
        [SCRIPT, SCRIPT],
    )
    await platform.insert("session_feedback", session_id=SESSION, student_satisfaction_rating=3, feedback_text=SCRIPT)
    await connection.execute("UPDATE alerts SET title = %s, description = %s", [SCRIPT, SCRIPT])
    await platform.insert(
        "alerts",
        tutor_id="ann",
        alert_type="high_talk_ratio",
        severity="warning",
        title=SCRIPT,
        description=SCRIPT,
        resolved=True,
        acknowledged=True,
        acknowledged_by="omar",
        action_taken=SCRIPT,
    )
    await platform.insert(
        "tutor_insights", tutor_id="ann", insight_type="strength", category="high_engagement", display_text=SCRIPT
    )
    await platform.insert("coaching_notes", tutor_id="ann", note_type="manual", content=SCRIPT, created_by="omar")
    await connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('ann', 5, %s, now(), now(), now())",
        [SCRIPT],
    )
    await connection.execute(
        "INSERT INTO tutorwatch.audit_trail"
        " (action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details)"
        " VALUES (%(text)s, 'refused', %(text)s, 'omar', %(text)s, %(text)s, %(text)s, %(text)s, %(text)s, %(text)s)",
        {"text": SCRIPT},
    )
    await connection.execute(
        "INSERT INTO tutorwatch.sign_ins (token_hash, user_id, method, address, browser)"
        " VALUES ('x', 'dana', %(text)s, %(text)s, %(text)s)",
        {"text": SCRIPT},
    )
    await connection.execute(
        "INSERT INTO tutorwatch.listeners VALUES (%s, %s, 1, %s, now(), now())", [uuid4(), SCRIPT, SCRIPT]
    )


@pytest.mark.usefixtures("_texts")
async def test_no_stored_or_given_text_becomes_a_part_of_a_page(admin: Browser, sign_in: SignIn) -> None:
    tutor = await sign_in("ann")
    pages = [
        "/",
        "/alerts?status=all",
        "/tutors",
        "/tutors/ann",
        f"/sessions/{SESSION}",
        "/system",
        "/audit",
        "/account",
    ]
    asked: list[tuple[Browser, str, dict[str, str], int]] = [(admin, path, {}, 200) for path in pages]
    asked += [(tutor, "/tutors/ann", {}, 200), (tutor, f"/sessions/{SESSION}", {}, 200)]
    asked += [
        (admin, "/alerts", {"tutor": SCRIPT}, 200),
        (admin, "/tutors", {"name": SCRIPT}, 200),
        (admin, "/tutors", {"filter": SCRIPT, "after": SCRIPT}, 200),
        (admin, "/", {"sessions": SCRIPT}, 200),
        (admin, "/alerts", {"status": SCRIPT}, 200),
        (admin, "/alerts", {SCRIPT: "1"}, 200),
        (admin, "/sign-in/link", {"token": SCRIPT}, 200),
        (admin, "/audit", {"person": SCRIPT}, 200),
        (admin, "/audit", {"action": SCRIPT}, 200),
        (admin, "/audit", {"cursor": SCRIPT}, 200),
        (admin, f"/{SCRIPT.replace('/', '')}", {}, 404),
    ]

    shown = 0
    for browser, path, query, status in asked:
        async with browser.get(path, params=query) as response:
            text = await response.text()
            page = Page(text)
            assert response.status == status, path
        assert (page.dangers, MARK in page.tags, "49javascript" in text) == ([], False, False), path
        shown += page.text.count("{{7*7}}")
    assert shown > 30, "the pages no longer show these texts"


@pytest.mark.usefixtures("_texts")
async def test_json_says_that_it_is_no_page(admin: Browser) -> None:
    for path in ("/api/critical-alerts", "/api/alerts?status=all", "/api/tutors/ann"):
        async with admin.get(path, headers={"Accept": "text/html"}) as response:
            assert SCRIPT in str(await response.json())
            kind = (response.content_type, response.headers["X-Content-Type-Options"])
            assert kind == ("application/json", "nosniff")


@pytest.fixture
def statements(server: TestServer) -> Iterator[list[tuple[str, str]]]:
    """Every statement that the application sends, and its parameters."""
    sent: list[tuple[str, str]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, str(parameters)))

    engine = server.app[ENGINE].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


async def test_no_given_text_becomes_a_part_of_a_statement(
    admin: Browser, nobody: Browser, statements: list[tuple[str, str]], platform: Platform
) -> None:
    own = {"csrf_token": await token_on(admin, "/alerts")}
    strangers = {"csrf_token": await token_on(nobody)}
    in_path = STATEMENT.replace("%", "%25").replace(" ", "%20").replace(";", "%3B").replace("#", "%23")
    cookies = {"tutorwatch_session": STATEMENT.replace(";", ",").replace(" ", "").replace('"', "")}
    before = len(statements)

    answers = [
        await admin.get("/alerts", params={"tutor": STATEMENT}),
        await admin.get("/tutors", params={"name": STATEMENT}),
        await admin.get("/api/alerts", params={"tutor": STATEMENT}),
        await admin.get("/api/alerts", params={"cursor": STATEMENT}),
        await admin.get("/api/alerts", params={"type": STATEMENT}),
        await admin.get(f"/tutors/{in_path}"),
        await admin.get(f"/api/tutors/{in_path}"),
        await admin.get(f"/sessions/{in_path}"),
        await admin.post(f"/tutors/{in_path}/notes", data=own | {"content": STATEMENT}),
        await admin.post("/tutors/ann/notes", data=own | {"content": STATEMENT}, allow_redirects=False),
        await admin.post("/system/retry", data=own | {"tutor_id": STATEMENT}, allow_redirects=False),
        await admin.post(
            f"/alerts/{ALERT}/resolve",
            data=own | {"action_taken": STATEMENT, "outcome": "other"},
            allow_redirects=False,
        ),
        await admin.get("/alerts", headers={"X-Request-Id": STATEMENT, "If-None-Match": f'"{STATEMENT}"'}),
        await nobody.get("/api/alerts", headers={"Authorization": f"Bearer {STATEMENT}"}),
        await nobody.get("/alerts", cookies=cookies, allow_redirects=False),
        await nobody.post("/sign-in/link", data=strangers | {"token": STATEMENT}, allow_redirects=False),
        await nobody.post(
            "/sign-in", data=strangers | {"email": STATEMENT, "password": STATEMENT}, allow_redirects=False
        ),
    ]

    assert [answer.status for answer in answers] == [
        *(200, 200, 200, 400, 400, 404, 404, 404),
        *(404, 303, 303, 303, 200, 401, 303, 303, 401),
    ]
    assert [statement for statement, _ in statements if MARK in statement] == []
    assert sum(MARK in parameters for _, parameters in statements[before:]) >= 8, (
        "the texts no longer reach the database"
    )
    # What was to be kept is kept as it was given.
    notes = await platform.rows("SELECT content FROM coaching_notes WHERE note_type = 'manual'")
    assert (notes, await platform.rows("SELECT action_taken FROM alerts")) == ([STATEMENT], [STATEMENT])
    assert await platform.rows("SELECT count(*) FROM tutorwatch.sign_ins") == [1]
