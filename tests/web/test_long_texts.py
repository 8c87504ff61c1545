"""Texts of any length that clients have written: pages and documents show their beginnings, one address the whole."""

import json
import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import String

from database.tables import platform as platform_tables
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT, SESSION, Browser, SignIn
from tests.support.dashboard_process import browser, dashboard
from tests.support.platform import Platform
from tests.support.usage import usage
from web.queries.texts import SLICE, SOURCES

LENGTH = SLICE + 1000
WRITTEN = "é<" * (LENGTH // 2)
"""1.5 MB as UTF-8, more as HTML; no index could hold it."""
LARGEST = 1_000_000
"""Bytes of a page or a document."""
PAGES = ["/", "/alerts?status=all", "/tutors", "/tutors/ann", f"/sessions/{SESSION}", "/system"]
DOCUMENTS = ["/api/critical-alerts", "/api/alerts?status=all", "/api/tutors/ann"]
NOT_SHOWN = {"users.email", "users.preferred_name"}


@pytest.fixture
async def texts(platform: Platform, people: None) -> None:  # noqa: ARG001 - whose texts they are
    """Everything that has a text, and in every column the longest that any client would write."""
    run = platform.connection.execute
    for widened in ("users ALTER name", "alerts ALTER title", "subjects ALTER name"):  # some platforms have them wide
        await run(f"ALTER TABLE {widened} TYPE text".encode())
    await run("ALTER TABLE subjects DROP CONSTRAINT IF EXISTS subjects_name_unique, DROP CONSTRAINT subjects_name_key")
    await run(
        "INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text, sample_sessions)"
        " VALUES ('ann', 'strength', 'high_engagement', 'Engaging', %s)",
        [[SESSION]],
    )
    await run(
        "INSERT INTO coaching_notes (tutor_id, note_type, content, created_by) VALUES ('ann', 'manual', 'x', 'dana')"
    )
    await run(
        "INSERT INTO session_feedback (session_id, student_satisfaction_rating, feedback_text) VALUES (%s, 1, 'x')",
        [SESSION],
    )
    await run("UPDATE sessions SET technical_issues = true")
    await run("UPDATE alerts SET acknowledged = true, acknowledged_by = 'omar', session_id = %s", [SESSION])
    await insert_alert(
        platform,
        "ann",
        alert_type="high_talk_ratio",
        resolved=True,
        resolved_at="2026-01-01",
        action_taken="Called her",
    )
    await run(
        "INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, resolved_by, outcome, resolved_at)"
        " SELECT id, tutor_id, 'omar', 'coached', resolved_at FROM alerts WHERE resolved"
    )
    await run("INSERT INTO tutorwatch.failures VALUES ('ann', 5, repeat('x', 1000000), now(), now(), NULL, now())")
    for source in SOURCES.values():
        column = source.text
        await run(f"UPDATE {column.table.fullname} SET {column.name} = repeat('é<', {LENGTH // 2})".encode())


def test_every_text_of_the_platforms_is_one_that_is_cut() -> None:
    texts = {
        f"{table.name}.{column.name}"
        for table in platform_tables.tables.values()
        for column in table.columns
        if isinstance(column.type, String) and not column.name.endswith(("id", "_by"))
    }

    cut = {source.text for source in SOURCES.values() if source.text.table.metadata is platform_tables}
    assert texts - NOT_SHOWN == {f"{column.table.name}.{column.name}" for column in cut}


@pytest.mark.usefixtures("texts")
async def test_pages_and_documents_show_beginnings_and_lead_to_the_whole(sign_in: SignIn) -> None:
    admin, tutor = await sign_in("dana"), await sign_in("ann")
    asked = [(admin, path) for path in PAGES + DOCUMENTS]
    asked += [(tutor, path) for path in ("/tutors/ann", f"/sessions/{SESSION}", "/api/tutors/ann")]
    shown: list[str] = []
    for who, path in asked:
        async with who.get(path) as response:
            body = await response.read()
        assert (response.status, len(body) < LARGEST) == (200, True), (path, len(body))
        assert body.count("é<…".encode()) + body.count("é&lt;…".encode()) > 0, path
        assert len(re.findall(r"(?:é<){10}|(?:é&lt;){10}", body.decode())) > 0
        shown.append(body.decode())
    async with admin.get("/api/alerts?status=all&limit=200") as response:
        assert len(await response.read()) < LARGEST

    links = {link for page in shown for link in re.findall(r'href="(/texts/[^"]+)"', unescape(page))}
    found = {at for document in shown if document.startswith("{") for at in _whole(json.loads(document))}
    kinds = {(kind, field) for kind, _, field in (link.split("/")[2:] for link in links)}
    assert kinds == SOURCES.keys() - {("user", "tutor_name")}
    one_of_each = {tuple(at.split("/")[-3::2]): at for at in sorted(links | found)}
    assert one_of_each.keys() == SOURCES.keys()
    for at in one_of_each.values():
        assert await _read(admin, at) == LENGTH, at


def _whole(document: Any) -> set[str]:
    """Every address that the document names under `cut`; each belongs to a text that ends with the mark."""
    if isinstance(document, list):
        return {at for part in document for at in _whole(part)}
    if not isinstance(document, dict):
        return set()
    for field in document.get("cut", {}):
        assert document[field].endswith("é<…")
    return set(document.get("cut", {}).values()) | {at for part in document.values() for at in _whole(part)}


async def _read(who: Browser, path: str) -> int:
    """The characters of a whole text, which must be as it was written."""
    async with who.get(path) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8"), path
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        text = await response.text()
    assert text == WRITTEN
    return len(text)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("length", [0, 1, SLICE - 1, SLICE, SLICE + 1])
async def test_whole_text_is_whole_wherever_it_is_sliced(length: int, admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("UPDATE alerts SET description = repeat('\U0001f469', %s)", [length])
    async with admin.get(f"/texts/alert/{ALERT}/description") as response:
        assert await response.text() == "\U0001f469" * length
    async with admin.head(f"/texts/alert/{ALERT}/description") as response:
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.usefixtures("texts")
async def test_tutor_reads_the_whole_of_what_their_pages_show_and_nobody_elses(
    sign_in: SignIn, platform: Platform
) -> None:
    ann, bob, sam = await sign_in("ann"), await sign_in("bob"), await sign_in("sam")
    for (kind, field), source in SOURCES.items():
        ids = await platform.rows(f"SELECT id::text FROM {source.id.table.name} ORDER BY id LIMIT 1")
        row_id = "ann" if kind == "user" else ids[0]
        for prefix in ("", "/api"):
            path = f"{prefix}/texts/{kind}/{row_id}/{field}"
            async with ann.get(path) as own, bob.get(path) as others, sam.get(path) as students:
                assert others.status == 404, path
                assert students.status == 403, path
                assert own.status == 404 if source.is_private else own.status in (200, 404), path
        if not source.is_private and kind != "alert":
            assert await _read(ann, f"/texts/{kind}/{row_id}/{field}") == LENGTH


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "path",
    [
        f"alert/{ALERT}/severity",
        "alert/nobody/title",
        "alert/00000000-0000-4000-8000-000000000000/title",
        f"alert/{ALERT}/action_taken",
        f"session/{SESSION}/feedback_text",
        "user/nobody/name",
        "user/a%00/name",
        "nothing/ann/name",
    ],
)
async def test_text_that_there_is_not_is_not_found(path: str, admin: Browser) -> None:
    async with admin.get(f"/texts/{path}") as response:
        assert response.status == 404


async def test_list_goes_on_after_a_tutor_with_an_endless_name(admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("ALTER TABLE users ALTER name TYPE text")
    for number in range(120):
        await platform.user(f"tutor-{number:03}")
    await platform.connection.execute("UPDATE users SET name = repeat('x', 2000000) WHERE role = 'tutor'")
    seen: list[str] = []
    path: str | None = "/tutors"
    while path:
        assert len(path) < 2000
        async with admin.get(path) as response:
            page = unescape(await response.text())
        seen += re.findall(r'class="who" href="/tutors/([^"]+)"', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path = following[1] if following else None

    assert (len(seen), len(set(seen))) == (122, 122)


@pytest.mark.usefixtures("texts")
async def test_process_is_no_larger_for_it(database_url: str, platform: Platform) -> None:
    large = b"UPDATE alerts SET description = repeat('x', 20000000), action_taken = repeat('x', 20000000)"
    await platform.connection.execute(large)
    await platform.connection.execute("UPDATE coaching_notes SET content = repeat('x', 20000000)")
    async with dashboard(database_url, platform) as served, browser(served.token) as admin:
        await served.page(admin)
        before = usage(served.process.pid).megabytes
        for path in [*PAGES, *DOCUMENTS]:
            await served.page(admin, path)
        async with admin.get(f"{served.address}/texts/alert/{ALERT}/description") as response:
            length = sum([len(chunk) async for chunk in response.content.iter_any()])
        after = usage(served.process.pid).megabytes

    assert length == 20_000_000
    assert after - before < 40
