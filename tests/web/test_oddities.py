"""Whatever stands in the platform's tables, and whatever is asked for: an answer, never a failure of ours."""

import base64
import json
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.support.browsers import ALERT, SESSION, Browser, SignIn, token_of
from tests.support.platform import Platform
from tests.support.raw_requests import request, send
from web.auth.cookies import FLASH, FORM, SIGN_IN
from web.http.cursors import encode_cursor
from web.queries.alerts.lists import AlertFilter
from web.queries.paging import Cursor
from web.queries.tutors import TutorsWanted

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)

PAGES = ["/", "/alerts?status=all", "/tutors", "/tutors/ann", f"/sessions/{SESSION}"]
DOCUMENTS = ["/api/critical-alerts", "/api/alerts?status=all", "/api/tutors/ann"]

INSIGHT = (
    "INSERT INTO tutor_insights (tutor_id, insight_type, category, display_text, {column})"
    " VALUES ('ann', 'strength', 'high_engagement', 'Engaging', {value})"
)
EDGES = ["infinity", "-infinity", "0044-03-15 BC", "0001-01-01", "9999-12-31 23:59:59.999999", "10000-01-01"]
DATED = {
    "tutors": ["member_since"],
    "sessions": ["scheduled_start", "completed_at"],
    "alerts": ["triggered_date", "acknowledged_at", "resolved_at"],
}
CONTENT = {
    f"dated {edge}": "; ".join(
        f"UPDATE {table} SET {column} = '{edge}'" for table, columns in DATED.items() for column in columns
    )
    for edge in EDGES
} | {
    "resolved at the end of time": "UPDATE alerts SET resolved = true, acknowledged = true, resolved_at = 'infinity'",
    "insight NaN": INSIGHT.format(column="metric_value", value="'NaN'"),
    "insight detected -infinity": INSIGHT.format(column="detected_at", value="'-infinity'"),
    "insight of a table of sessions": INSIGHT.format(
        column="sample_sessions", value=f"ARRAY[ARRAY['{SESSION}'], ARRAY[NULL]]::uuid[]"
    ),
    "insight of no session": INSIGHT.format(column="sample_sessions", value="ARRAY[NULL]::uuid[]"),
    "audio NaN": "INSERT INTO session_audio_metrics (session_id, productive_silence_ratio, awkward_pause_ratio,"
    " student_engagement_score, tutor_enthusiasm_score, avg_student_response_delay)"
    f" VALUES ('{SESSION}', 'NaN', 'NaN', 'NaN', 'NaN', 'NaN')",
    "video NaN": "INSERT INTO session_video_metrics (session_id, student_visual_engagement_score)"
    f" VALUES ('{SESSION}', 'NaN')",
    "largest numbers": "UPDATE sessions SET scheduled_duration = -2147483648, actual_duration = 2147483647,"
    " session_number = -2147483648",
    "names right to left": r"UPDATE users SET name = repeat(U&'\202E', 255)",
    "names without width": r"UPDATE users SET name = repeat(U&'\200B', 255)",
    "names beyond the basic plane": r"UPDATE users SET name = repeat(U&'\+01F469', 255)",
    "names of nothing": "UPDATE users SET name = ''",
    "names with control characters": r"UPDATE users SET name = E'a\r\n\x01{{ 7 * 7 }}%s<b>'",
    "long texts": r"UPDATE alerts SET title = repeat(U&'\200F', 255), description = repeat('x', 1000000)",
    "no text": "UPDATE alerts SET title = '', description = ''",
    "note at the end of time": "INSERT INTO coaching_notes (tutor_id, note_type, content, created_at)"
    " VALUES ('ann', 'manual', 'x', 'infinity')",
}


@pytest.mark.parametrize("statement", CONTENT.values(), ids=CONTENT)
async def test_content_of_any_kind_is_shown(statement: str, sign_in: SignIn, platform: Platform) -> None:
    admin, tutor = await sign_in("dana"), await sign_in("ann")
    await platform.connection.execute(statement.encode())

    answers = {path: await ask(admin, path) for path in PAGES + DOCUMENTS}
    answers |= {f"tutor: {path}": await ask(tutor, path) for path in ("/tutors/ann", DOCUMENTS[-1])}

    assert answers == dict.fromkeys(answers, 200)


async def ask(browser: Browser, path: str) -> int:
    """The status of the address as it stands here, percents and all."""
    url = URL(str(browser.make_url("/")).rstrip("/") + path, encoded=True)
    async with browser.session.get(url, allow_redirects=False) as response:
        await response.read()
        return response.status


async def test_id_of_any_characters_leads_to_its_tutor(admin: Browser, platform: Platform) -> None:
    for user_id in ("a/b", "a%2Fb", "%", "a b?#&=+", "\u00e4\u202e\u200b\U0001f469", "'\"<>", "a\nb", "\\", "x" * 128):
        await platform.user(user_id, name="Odd")
        for pages in ("/tutors/", "/api/tutors/"):
            assert await ask(admin, pages + quote(user_id, safe="")) == 200, user_id


def encoded(text: str | bytes) -> str:
    """As cursors and messages are written."""
    return base64.urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).decode().rstrip("=")


DEEP = "[" * 2500
"""As deep as fits into the longest address and header."""
CURSORS = {
    "half a character": encoded(r'["a", "\ud800"]'),
    "NUL": encoded(r'["\u0000", "b"]'),
    "deep": encoded(DEEP),
    "huge number": encoded(f"[{'9' * 4400}, 1]"),
    "no numbers": encoded("[NaN, Infinity]"),
    "no list": encoded('{"a": 1, "b": 2}'),
    "other encoding": encoded('["a", "b"]'.encode("utf-16")),
    "before all time": encoded(f'["0001-01-01T00:00:00+14:00", "{SESSION.hex}"]'),
    "after all time": encoded(f'["9999-12-31T23:59:59-14:00", "{SESSION.hex}"]'),
    "without a zone": encoded(f'["0001-01-01T00:00:00", "{SESSION.hex}"]'),
    "no base64": "====%C3%A9%00",
}


LISTS: dict[str, list[str | None]] = {
    "/tutors": TutorsWanted().parts,
    "/tutors/ann": ["sessions", "ann"],
    "/alerts": AlertFilter().parts,
    "/api/alerts": AlertFilter().parts,
}
"""The lists, and what their cursors are bound to."""


async def is_refused(admin: Browser, path: str, cursor: str) -> bool:
    """Whether the cursor is answered as none of this list: programs get an error, people the beginning of the list."""
    async with admin.get(f"{path}?cursor={cursor}") as response:
        status = 400 if path.startswith("/api/") else 200
        return response.status == status and GONE[status] in unescape(await response.text())


GONE = {200: "That part of the list can't be found any more. This is its beginning.", 400: '"field": "cursor"'}


async def test_tampered_cursor_is_no_failure(admin: Browser) -> None:
    for what, cursor in CURSORS.items():
        for path in LISTS:
            assert await is_refused(admin, path, cursor), (what, path)


async def test_tampered_cursor_of_the_right_list_is_no_failure(admin: Browser) -> None:
    for path, bound_to in LISTS.items():
        genuine = encode_cursor(Cursor((EARLIEST, ALERT)), bound_to)
        fingerprint = json.loads(base64.urlsafe_b64decode(f"{genuine}=="))[0]
        for instant in ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-14:00", 5, None):
            for more in ([ALERT.hex], [5], [None], [ALERT.hex, "backwards"], [ALERT.hex, {}], ["\ud800" * 32], ["\0"]):
                cursor = encoded(json.dumps([fingerprint, instant, *more]))
                assert await ask(admin, f"{path}?cursor={cursor}") in (200, 400), (instant, more)


async def test_cursor_is_good_for_its_own_list_only(admin: Browser) -> None:
    cursor = encode_cursor(Cursor((2, EARLIEST, ALERT)), LISTS["/alerts"])
    assert cursor
    assert {path: await is_refused(admin, path, cursor) for path in LISTS} == {
        "/tutors": True,
        "/tutors/ann": True,
        "/alerts": False,
        "/api/alerts": False,
    }


MESSAGES = {
    "half a character": encoded(r'{"kind": "done", "text": "\ud800"}'),
    "half a kind": encoded(r'{"kind": "\ud800", "text": ""}'),
    "deep": encoded(DEEP),
    "huge number": encoded(f'{{"kind": "done", "text": {"9" * 4400}}}'),
    "no object": encoded("5"),
    "no text": encoded(b"\xff\xfe"),
    "quoted": '"\\377\\000"',
    "bytes": "\xff\xed\xa0\x80",
}


@pytest.mark.parametrize("name", [FLASH, FORM, SIGN_IN])
async def test_tampered_cookie_is_no_failure(name: str, admin: Browser, server: TestServer) -> None:
    signed_in = {cookie.key: cookie.value for cookie in admin.session.cookie_jar}
    for what, value in MESSAGES.items():
        for path in ("/sign-in", "/", "/nothing"):
            cookies = {FORM: "form"} | (signed_in if path == "/" else {}) | {name: value}
            header = "Cookie: " + "; ".join(f"{key}={value}" for key, value in cookies.items())
            assert (await send(server, request(path, header))).status in (200, 303, 404), (what, path)


@pytest.mark.parametrize(
    ("charset", "half"),
    [("utf-7", "+2AA-"), ("unicode_escape", r"\ud800"), ("utf-8", "%ED%A0%80"), ("hex", "ff"), ("undefined", "a")],
)
async def test_form_with_half_a_character_is_no_failure(charset: str, half: str, admin: Browser) -> None:
    """In a field, in the name of one, and in those that every form has."""
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    token = {"X-CSRF-Token": await token_of(admin)}
    forms = [
        ("/sign-in/link", f"token={half}"),
        ("/sign-in", f"email={half}&password={half}&next={half}"),
        (f"/alerts/{ALERT}/acknowledge", f"return_to=/{half}"),
        (f"/alerts/{ALERT}/resolve", f"action_taken={half}&outcome=other"),
        ("/tutors/ann/notes", f"content={half}"),
        ("/system/retry", f"tutor_id={half}"),
        ("/system/retry", f"{half}=1"),
    ]
    for path, body in forms:
        async with admin.post(path, data=body, headers=headers | token, allow_redirects=False) as response:
            assert response.status in (303, 400, 401), (path, response.status)
    async with admin.post("/system/retry", data=f"csrf_token={half}", headers=headers) as response:
        assert response.status in (400, 403)


VALUES = ["%00", "%ED%A0%80", "%FF", "%E2%80%AE" * 255, "9" * 4500, "NaN", "1e999", "-1", "%", "&", "%0A", "%D9%A1"]


async def test_parameter_of_any_kind_is_no_failure(admin: Browser) -> None:
    names = ["alerts?limit", "alerts?tutor", "api/alerts?limit", "tutors?name", "sign-in?next", "sign-in/link?token"]
    names += ["alerts?status=all&status", "?sessions"]
    for value in VALUES:
        paths = [f"/{name}={value}" for name in names] + [f"/{what}/{value}" for what in ("tutors", "sessions")]
        for path in [*paths, f"/?{value}=1", f"/api/tutors/{value}"]:
            assert await ask(admin, path) < 500, path
