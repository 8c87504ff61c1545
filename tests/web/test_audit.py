"""What is on record of what people do: written with the act or not at all, and read by admins."""

import asyncio
import csv
import io
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from html import unescape
from typing import Any
from uuid import UUID

import aiohttp
import psycopg
import pytest
from aiohttp.test_utils import TestServer
from aiohttp.web import Application
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts, operations
from scripts.errors import CommandError
from tests.support.alerts import insert_alert
from tests.support.browsers import ALERT, Browser, post, read_page, token_on
from tests.support.command import Running, tutorwatch
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually
from web.auth import slowdown, store
from web.auth.audit import A_MINUTE, LATELY_NOTED, Action, LatelyNoted
from web.auth.cookies import SIGN_IN, digest
from web.keys import ENGINE
from web.queries import AuditRow
from web.settings import WebSettings
from web.views.audit import pages as audit_pages
from web.views.audit.words import ACTIONS

PASSWORD = "correct horse battery"
ANOTHER = "seven purple lanterns"
CLIENT = "198.51.100.7"
LINK = "link-of-omar"
HERE = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
RECORDED = "SELECT outcome, reason, actor, actor_role, actor_by, address, user_id, object, details"


@pytest.fixture
def settings() -> WebSettings:
    """Behind a proxy that is trusted, and that may sign people in."""
    return WebSettings(web_port=0, web_trusted_proxies=HERE, web_identity_header="X-Forwarded-Email")


@dataclass
class Office:
    """People at their browsers behind the proxy, and an operator at the command line."""

    platform: Platform
    engine: AsyncEngine
    dana: Browser
    stranger: Browser
    app: Application
    token: str
    """Of a program that acts for Omar."""

    async def recorded(self, action: Action) -> list[Any]:
        return await self.platform.rows(f"{RECORDED} FROM tutorwatch.audit_trail WHERE action = %s ORDER BY id", action)

    async def change_password(self) -> aiohttp.ClientResponse:
        typed = {"password": PASSWORD, "new_password": ANOTHER, "again": ANOTHER}
        return await post(self.dana, "/account/password", page="/account", **typed)

    def restart(self) -> None:
        """What the dashboard remembers of what it has put on record is gone, as after a restart."""
        self.app[LATELY_NOTED]._due_at.clear()  # noqa: SLF001

    async def use_token(self, token: str | None = None) -> aiohttp.ClientResponse:
        return await self.stranger.get("/api/alerts", headers={"Authorization": f"Bearer {token or self.token}"})


@pytest.fixture
async def office(
    platform: Platform,
    engine: AsyncEngine,
    server: TestServer,
    admin: Browser,
    nobody: Browser,
    capsys: pytest.CaptureFixture[str],
) -> Office:
    """Dana is signed in; nothing is on record yet."""
    await accounts.set_password(engine, "dana@example.test", PASSWORD)
    cookies = admin.session.cookie_jar.filter_cookies(admin.make_url("/"))
    async with engine.begin() as conn:  # the password has ended it
        await store.insert_sign_in(conn, digest(cookies[SIGN_IN].value), "dana")
    capsys.readouterr()
    await accounts.create_token(engine, "pager", acts_for="omar@example.test")
    token = capsys.readouterr().out.strip()
    await platform.connection.execute(
        "INSERT INTO tutorwatch.identities (issuer, subject, user_id) VALUES ('https://id.test', 'o', 'omar')"
    )
    await insert_alert(platform, tutor="bob", alert_id=ACKNOWLEDGED_ALERT, acknowledged=True)
    await insert_alert(platform, tutor="bob", alert_type="high_talk_ratio", alert_id=RESOLVED_ALERT, resolved=True)
    await platform.connection.execute("TRUNCATE tutorwatch.audit_trail")
    for browser in (admin, nobody):
        browser.session.headers["X-Forwarded-For"] = f"203.0.113.99, {CLIENT}"
    return Office(platform, engine, admin, nobody, server.app, token)


ACKNOWLEDGED_ALERT, RESOLVED_ALERT = UUID(int=1), UUID(int=2)
"""Two alerts of Bob's."""


@dataclass(frozen=True)
class Act:
    """Something that is done, and what is to be on record of it."""

    do: Callable[[Office], Awaitable[Any]]
    by: str | None
    actor: str | None = "dana"
    role: str | None = "admin"
    user_id: str | None = None
    object: str | None = None
    details: str | None = None
    address: str | None = CLIENT


BROWSER, OPERATOR, OWNER = "cookie", "command line", "the database's owner"


def typed(do: Callable[[Office], Awaitable[Any]], **more: Any) -> Act:
    """What an operator does on the command line."""
    return Act(do, by=OPERATOR, actor=None, role=OWNER, address=None, **more)


ACTS = {
    Action.SIGN_IN: Act(
        lambda o: post(o.stranger, "/sign-in", page="/sign-in", email="dana@example.test", password=PASSWORD),
        by="password",
        user_id="dana",
    ),
    Action.SIGN_OUT: Act(lambda o: post(o.dana, "/sign-out"), by=BROWSER, user_id="dana"),
    Action.SIGN_INS_ENDED: Act(lambda o: post(o.dana, "/account/sign-ins/end"), by=BROWSER, user_id="dana"),
    Action.PASSWORD_CHANGED: Act(Office.change_password, by=BROWSER, user_id="dana"),
    Action.ADMIN_CREATED: typed(lambda o: accounts.create_admin(o.engine, "new@example.test", PASSWORD), user_id="NEW"),
    Action.LINK_CREATED: typed(
        lambda o: accounts.one_time_link(o.engine, "http://x.test", "omar@example.test"),
        user_id="omar",
        details="to sign in",
    ),
    Action.PROVIDER_UNLINKED: typed(lambda o: accounts.unlink(o.engine, "omar@example.test"), user_id="omar"),
    Action.TOKEN_CREATED: typed(
        lambda o: accounts.create_token(o.engine, "reports"), object="token reports", details="scope read"
    ),
    Action.TOKEN_REVOKED: typed(lambda o: accounts.revoke_token(o.engine, "pager"), object="token pager"),
    Action.TOKEN_USED: Act(Office.use_token, by="token of a program: pager", actor="omar", object="token pager"),
    Action.ALERT_ACKNOWLEDGED: Act(
        lambda o: post(o.dana, f"/alerts/{ALERT}/acknowledge"), by=BROWSER, user_id="ann", object=f"alert {ALERT}"
    ),
    Action.ALERT_RESOLVED: Act(
        lambda o: post(o.dana, f"/alerts/{ALERT}/resolve", action_taken="Called", outcome="coached"),
        by=BROWSER,
        user_id="ann",
        object=f"alert {ALERT}",
        details="coached",
    ),
    Action.ALERT_UNACKNOWLEDGED: Act(
        lambda o: post(o.dana, f"/alerts/{ACKNOWLEDGED_ALERT}/unacknowledge"),
        by=BROWSER,
        user_id="bob",
        object=f"alert {ACKNOWLEDGED_ALERT}",
    ),
    Action.ALERT_REOPENED: Act(
        lambda o: post(o.dana, f"/alerts/{RESOLVED_ALERT}/reopen"),
        by=BROWSER,
        user_id="bob",
        object=f"alert {RESOLVED_ALERT}",
    ),
    Action.NOTE_ADDED: Act(lambda o: post(o.dana, "/tutors/ann/notes", content="Hello"), by=BROWSER, user_id="ann"),
    Action.TUTORS_RETRIED: Act(lambda o: post(o.dana, "/system/retry", tutor_id="ann"), by=BROWSER, user_id="ann"),
    Action.AUDIT_EXPORTED: Act(
        lambda o: o.dana.get("/audit.csv?person=ann&outcome=done"), by=BROWSER, details="person=ann&outcome=done"
    ),
}


def test_every_action_has_a_test_and_words() -> None:
    assert set(ACTS) == set(Action)
    assert set(ACTIONS) == set(Action)


@pytest.mark.parametrize("action", ACTS)
async def test_what_is_done_is_on_record(action: Action, office: Office) -> None:
    act = ACTS[action]
    await act.do(office)

    [(outcome, reason, actor, role, by, address, user_id, concerned, details)] = await office.recorded(action)
    assert (outcome, reason) == ("done", None)
    [owner] = await office.platform.rows("SELECT current_user")
    assert (actor, role, address) == (act.actor, owner if act.role == OWNER else act.role, act.address)
    assert by == act.by or (act.by == OPERATOR and re.fullmatch(r"command line, \S+@\S+", by))
    assert user_id == act.user_id or (act.user_id == "NEW" and user_id.startswith("tutorwatch-"))
    assert (concerned, details) == (act.object, act.details)


_REFUSE_ENTRIES = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no entry today'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON tutorwatch.audit_trail FOR EACH ROW EXECUTE FUNCTION refuse()
"""
STATE = """
    SELECT (SELECT array_agg(a::text ORDER BY id) FROM alerts AS a),
           (SELECT array_agg(n::text ORDER BY id) FROM coaching_notes AS n),
           (SELECT array_agg(u::text ORDER BY id) FROM users AS u),
           (SELECT array_agg(c::text ORDER BY user_id) FROM tutorwatch.credentials AS c),
           (SELECT array_agg(id ORDER BY id) FROM tutorwatch.sign_ins),
           (SELECT array_agg(l::text ORDER BY token_hash) FROM tutorwatch.sign_in_links AS l),
           (SELECT array_agg((name, revoked_at)::text ORDER BY name) FROM tutorwatch.api_tokens),
           (SELECT array_agg(r::text ORDER BY alert_id) FROM tutorwatch.alert_resolutions AS r),
           (SELECT array_agg(f::text ORDER BY tutor_id) FROM tutorwatch.failures AS f),
           (SELECT array_agg(i::text ORDER BY subject) FROM tutorwatch.identities AS i),
           (SELECT array_agg(b.user_id ORDER BY b) FROM tutorwatch.known_browsers AS b)
"""


@pytest.mark.parametrize("action", ACTS)
async def test_what_cannot_be_recorded_is_not_done(action: Action, office: Office) -> None:
    await office.platform.connection.execute(
        "INSERT INTO tutorwatch.failures (tutor_id, attempts, last_error, first_failed_at, last_failed_at, parked_at)"
        " VALUES ('ann', 5, 'x', now(), now(), now())"
    )
    await office.platform.connection.execute(_REFUSE_ENTRIES)
    before = await office.platform.rows(STATE)

    if ACTS[action].by == OPERATOR:
        with pytest.raises(DBAPIError, match="no entry today"):
            await ACTS[action].do(office)
    else:
        answer = await ACTS[action].do(office)
        assert answer.status == 500

    assert await office.platform.rows(STATE) == before


async def test_what_is_not_done_is_not_on_record(office: Office) -> None:
    for _ in range(2):
        await post(office.dana, f"/alerts/{ALERT}/acknowledge")
    for _ in range(2):
        await post(office.dana, f"/alerts/{ALERT}/resolve", action_taken="Called", outcome="other")
    await post(office.dana, f"/alerts/{ALERT}/resolve", action_taken="", outcome="other")
    await post(office.dana, "/tutors/nobody/notes", content="Hello")
    for failing in (
        accounts.revoke_token(office.engine, "unknown"),
        accounts.create_token(office.engine, "pager"),
        accounts.one_time_link(office.engine, "http://x.test", "unknown@example.test"),
        accounts.create_admin(office.engine, "ann@example.test", PASSWORD),
        operations.retry(office.engine, ["unknown"]),
    ):
        with pytest.raises(CommandError):
            await failing

    actions = await office.platform.rows("SELECT action FROM tutorwatch.audit_trail ORDER BY id")
    assert actions == ["alert_acknowledged", "alert_resolved"]


async def test_operators_retry_is_on_record_with_either_services_role(database_url: str, platform: Platform) -> None:
    for role in (LISTENER, WEB):
        assert tutorwatch("retry", "--all", url=role.url(database_url)).code == 0

    entries = "SELECT action, actor_role, split_part(actor_by, ',', 1) FROM tutorwatch.audit_trail ORDER BY id"
    retried = [("tutors_retried", role.name, OPERATOR) for role in (LISTENER, WEB)]
    assert await platform.rows(entries) == retried


# What is refused


async def test_refused_sign_in_says_why(office: Office) -> None:
    for email, password in (("dana@example.test", "a guess"), ("who@example.test", "a guess")):
        await post(office.stranger, "/sign-in", page="/sign-in", email=email, password=password)
    await post(office.stranger, "/sign-in", page="/sign-in", email="omar@example.test", password="a guess")
    await post(office.stranger, "/sign-in/link", page="/sign-in", token="unknown")
    await office.stranger.get("/alerts", headers={"X-Forwarded-Email": "who@example.test"})

    entries = await office.recorded(Action.SIGN_IN)
    assert [(outcome, reason, by, user_id) for outcome, reason, _, _, by, _, user_id, _, _ in entries] == [
        ("refused", "wrong password", None, "dana"),
        ("refused", "no such account", None, None),
        ("refused", "no password is set", None, "omar"),
        ("refused", "link used or expired", None, None),
        ("refused", "no such account", "header of a sign-in proxy", None),
    ]
    assert {entry[5] for entry in entries} == {CLIENT}
    assert "who@example.test" not in str(entries), "what is typed may be a password"


async def test_refused_change_of_a_password_is_on_record(office: Office) -> None:
    fields = {"password": "a guess", "new_password": ANOTHER, "again": ANOTHER}
    await post(office.dana, "/account/password", page="/account", **fields)

    refused = ("refused", "wrong password", "dana", "admin", BROWSER, CLIENT, "dana", None, None)
    assert await office.recorded(Action.PASSWORD_CHANGED) == [refused]


async def test_too_many_attempts_are_on_record_once_a_minute_per_account_and_address(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowdown, "FIRST_WAIT_SECONDS", slowdown.LONGEST_WAIT_SECONDS)

    async def guess(email: str, address: str) -> int:
        page, headers = await token_on(office.stranger), {"X-Forwarded-For": address}
        data = {"csrf_token": page, "email": email, "password": "a guess"}
        async with office.stranger.post("/sign-in", data=data, headers=headers, allow_redirects=False) as response:
            return response.status

    for email in ("dana@example.test", "omar@example.test"):
        for number in range(slowdown.FREE_BY_ACCOUNT):
            await guess(email, f"192.0.2.{number}")
    await office.platform.connection.execute("TRUNCATE tutorwatch.audit_trail")

    def throttled() -> list[tuple[str, str]]:
        return [(email, address) for email in ("dana", "omar") for address in ("192.0.2.101", "192.0.2.102")]

    office.restart()
    async with asyncio.TaskGroup() as guesses:
        asked = [guesses.create_task(guess(f"{e}@example.test", a)) for e, a in throttled() * 3]
    assert {each.result() for each in asked} == {429}
    entries = "SELECT user_id, address FROM tutorwatch.audit_trail WHERE reason = 'too many attempts' ORDER BY 1, 2"
    assert await office.platform.rows(entries) == throttled()

    office.restart()
    await guess("dana@example.test", "192.0.2.101")
    assert len(await office.platform.rows(entries)) == 4
    await office.platform.connection.execute("UPDATE tutorwatch.audit_trail SET at = at - interval '1 minute'")
    office.restart()
    await guess("dana@example.test", "192.0.2.101")
    assert len(await office.platform.rows(entries)) == 5


async def test_token_that_is_no_good_is_on_record_with_the_reason(office: Office) -> None:
    await office.platform.connection.execute(
        "INSERT INTO tutorwatch.api_tokens (name, token_hash, user_id, expires_at, revoked_at) VALUES"
        " ('old', sha256('old'), NULL, now(), NULL), ('ended', sha256('ended'), NULL, NULL, now()),"
        " ('left', sha256('left'), 'gone', NULL, NULL)"
    )
    for token in ("unknown", "old", "ended", "left", "unknown"):
        await office.use_token(token)

    entries = await office.recorded(Action.TOKEN_USED)
    assert [(outcome, reason, concerned) for outcome, reason, *_, concerned, _ in entries] == [
        ("refused", "no such token", None),
        ("refused", "expired", "token old"),
        ("refused", "revoked", "token ended"),
        ("refused", "its user is gone", "token left"),
    ]


# What comes with every request


async def test_use_of_a_token_and_a_proxys_word_are_on_record_once_an_hour(office: Office) -> None:
    async def ask() -> tuple[int, int]:
        await office.use_token()
        await office.stranger.get("/alerts", headers={"X-Forwarded-Email": "omar@example.test"})
        return len(await office.recorded(Action.TOKEN_USED)), len(await office.recorded(Action.SIGN_IN))

    assert [await ask() for _ in range(3)] == [(1, 1)] * 3
    signed_in = ("done", None, "omar", "admin", "header of a sign-in proxy", CLIENT, "omar", None, None)
    assert await office.recorded(Action.SIGN_IN) == [signed_in]

    office.restart()
    assert await ask() == (1, 1)
    # In use all the time: what counts is when it was last put on record.
    await office.platform.connection.execute("UPDATE tutorwatch.audit_trail SET at = at - interval '1 hour'")
    office.restart()
    assert await ask() == (2, 2)

    office.stranger.session.headers["X-Forwarded-For"] = "203.0.113.5"
    assert await ask() == (3, 3), "from elsewhere it is something else"


async def test_nobody_is_kept_from_reading_by_a_database_that_only_reads(
    office: Office, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {WEB.name} SET default_transaction_read_only = on".encode())
        try:
            await office.app[ENGINE].dispose()
            with caplog.at_level("INFO", logger="web.auth.audit"):
                headers = {"X-Forwarded-Email": "omar@example.test"}
                async with office.stranger.get("/api/alerts", headers=headers) as response:
                    assert response.status == 200
        finally:
            connection.execute(f"ALTER ROLE {WEB.name} RESET default_transaction_read_only".encode())

    assert "actor=omar" in caplog.text
    assert await office.recorded(Action.SIGN_IN) == []


def test_what_is_remembered_is_bounded() -> None:
    lately = LatelyNoted()
    for number in range(LatelyNoted.MOST + 10):
        assert lately.take(number, A_MINUTE)
    assert len(lately._due_at) == LatelyNoted.MOST  # noqa: SLF001
    assert not lately.take(LatelyNoted.MOST, A_MINUTE)
    assert lately.take(0, A_MINUTE), "the oldest is forgotten"


# The log


LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00 (DEBUG|INFO|WARNING|ERROR) +\S.*")
FORGED = "\r\n2026-01-01T00:00:00.000+00:00 INFO    action=sign_in outcome=done actor=dana\u2028\x1b[2K\x85{}\n\u202e"


async def said(process: Running, pattern: str) -> str:
    """What stands in the brackets, once the process has said so in its log."""

    async def find() -> str | None:
        found = re.search(pattern, "".join(process.err))
        return found[1] if found else None

    return str(await eventually(find))


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_text_of_a_client_breaks_a_line_of_the_log(
    log_format: str,
    database_url: str,
    platform: Platform,
    people: None,  # noqa: ARG001 - whom it is about
) -> None:
    await platform.insert("users", id=FORGED, email="forged@example.test", name=FORGED, role="admin")
    await platform.connection.execute(
        "INSERT INTO tutorwatch.api_tokens (name, token_hash, user_id) VALUES (%s, sha256('known'), %s)",
        [FORGED, FORGED],
    )
    proxies = "127.0.0.0/8,::1/128"
    with Running(
        "web", "--log-format", log_format, url=WEB.url(database_url), web_port=0, web_trusted_proxies=proxies
    ) as process:
        address = await said(process, r"Serving on (http://[^\s\"]+)")
        hostile = {
            "User-Agent": "x\tINFO forged",
            "X-Forwarded-For": '198.51.100.7", action=forged \t',
            "X-Request-Id": "a b",
        }
        async with aiohttp.ClientSession(headers=hostile, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(f"{address}/sign-in") as page:
                form_token = re.search(r'name="csrf_token" value="(\w+)"', await page.text())
            assert form_token
            for email in (f"dana{FORGED}@x", "dana@example.test"):
                form = {"csrf_token": form_token[1], "email": email, "password": FORGED}
                await browser.post(f"{address}/sign-in", data=form, allow_redirects=False)
            await browser.get(f"{address}/%0A%0D2026-01-01T00:00:00.000+00:00%20INFO%20action=forged?x=%0A")
            await browser.get(f"{address}/api/alerts", headers={"Authorization": "Bearer known"})
            await browser.get(f"{address}/api/alerts", headers={"Authorization": "Bearer unknown"})
        await said(process, "(no such token)")
        lines = [line.rstrip("\n") for line in process.err]

    assert not any(character in line for line in lines for character in "\r\u2028\x1b\x85\u202e")
    acts = ["sign_in", "sign_in", "token_used", "token_used"]
    if log_format == "json":
        entries = [entry for entry in map(json.loads, lines) if entry["logger"] == "web.auth.audit"]
        assert [entry["action"] for entry in entries] == acts
        assert [entry["outcome"] for entry in entries] == ["refused", "refused", "done", "refused"]
        assert {entry.get("address") for entry in entries} == {None}, "what can't be understood is nobody's"
    else:
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        assert re.findall(r"action=(\w+) outcome=", "\n".join(lines)) == acts


async def test_log_has_what_is_on_record(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="web.auth.audit"):
        await post(office.dana, f"/alerts/{ALERT}/resolve", action_taken="Called", outcome="coached")
        await post(office.stranger, "/sign-in", page="/sign-in", email="dana@example.test", password="a guess")

    resolved, refused = [record.getMessage() for record in caplog.records if record.name == "web.auth.audit"]
    assert resolved == (
        f"action=alert_resolved outcome=done actor=dana actor_role=admin actor_by=cookie address={CLIENT} concerns=ann"
        f' object="alert {ALERT}" details=coached'
    )
    assert refused == f'action=sign_in outcome=refused reason="wrong password" address={CLIENT} concerns=dana'


# The page


async def fill(platform: Platform) -> None:
    """Five entries, of one day each."""
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail"
        " (at, action, outcome, reason, actor, actor_role, actor_by, address, user_id, object, details) VALUES"
        " ('2026-11-01 00:00Z', 'sign_in', 'refused', 'wrong password', NULL, NULL, NULL, '192.0.2.1', 'dana',"
        "  NULL, NULL),"
        " ('2026-11-02 12:00Z', 'sign_in', 'done', NULL, 'dana', 'admin', 'password', '192.0.2.1', 'dana',"
        "  NULL, NULL),"
        " ('2026-11-03 12:00Z', 'alert_resolved', 'done', NULL, 'omar', 'admin', 'cookie', '192.0.2.2',"
        "  'ann', 'alert 00000000-0000-4000-8000-00000000a1e7', 'not_actionable'),"
        " ('2026-11-04 23:59:59.999Z', 'token_created', 'done', NULL, NULL, 'postgres', 'command line, root@host',"
        "  NULL, 'gone', 'token reports', 'scope read'),"
        " ('2026-11-05 12:00Z', 'from_the_future', 'done', NULL, 'deleted user', 'tutor', 'a new way', NULL,"
        "  'deleted user', NULL, NULL)"
    )


SIGNED_IN_WRONGLY, SIGNED_IN, RESOLVED, TOKEN, UNKNOWN = 1, 2, 3, 4, 5


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", [UNKNOWN, TOKEN, RESOLVED, SIGNED_IN, SIGNED_IN_WRONGLY], id="all, newest first"),
        pytest.param("person=whitfield", [SIGNED_IN, SIGNED_IN_WRONGLY], id="name, of who did it or whom it concerns"),
        pytest.param("person=ann@example", [RESOLVED], id="e-mail address"),
        pytest.param("person=omar", [RESOLVED], id="id"),
        pytest.param("person=gone", [TOKEN], id="id of a user who is gone"),
        pytest.param("person=deleted+user", [UNKNOWN], id="deleted user"),
        pytest.param("person=%25", [], id="a percent sign is no wildcard"),
        pytest.param("action=sign_in", [SIGNED_IN, SIGNED_IN_WRONGLY], id="action"),
        pytest.param("outcome=refused", [SIGNED_IN_WRONGLY], id="refused"),
        pytest.param("outcome=done&action=sign_in", [SIGNED_IN], id="done"),
        pytest.param("from=2026-11-02&to=2026-11-04", [TOKEN, RESOLVED, SIGNED_IN], id="days, both included"),
        pytest.param("to=9999-12-31&from=0001-01-01&outcome=refused", [SIGNED_IN_WRONGLY], id="days at the edges"),
        pytest.param("person=+dana+&action=&outcome=&from=&to=2026-11-01", [SIGNED_IN_WRONGLY], id="empty ones"),
    ],
)
async def test_entries_are_filtered(query: str, expected: list[int], admin: Browser, platform: Platform) -> None:
    await fill(platform)

    page = await read_page(admin, f"/audit?{query}")
    async with admin.get(f"/api/audit?{query}") as response:
        document = await response.json()
    async with admin.get(f"/audit.csv?{query}") as response:
        rows = list(csv.DictReader(io.StringIO(await response.text())))

    assert [int(entry) for entry in re.findall(r'id="entry-(\d+)"', page)] == expected
    assert [entry["id"] for entry in document["entries"]] == expected
    assert [int(row["id"]) for row in rows if row["action"] != "audit_exported"] == expected


async def test_entries_read_as_words(admin: Browser, platform: Platform) -> None:
    await fill(platform)
    page = await read_page(admin, "/audit")
    words = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))

    assert re.findall(r"(\d+ Nov 2026, [\d:]+ UTC .*?) (?=\d+ Nov 2026,|Read|$)", words + " ")[:4] == [
        "5 Nov 2026, 12:00 UTC deleted user tutor, a new way From the future \N{EN DASH}",
        "4 Nov 2026, 23:59 UTC An operator as database role postgres, on the command line, root@host New token"
        " token reports, for deleted user , scope read \N{EN DASH}",
        "3 Nov 2026, 12:00 UTC Omar Haddad admin, in a browser Resolved an alert the alert of Ann Lee , not actionable"
        " 192.0.2.2",
        "2 Nov 2026, 12:00 UTC Dana Whitfield admin, with their password Sign-in 192.0.2.1",
    ]
    assert "Sign-in Refused wrong password for Dana Whitfield 192.0.2.1" in words
    assert f'href="/tutors/ann#alert-{ALERT}"' in page


async def test_pages_lead_there_and_back(admin: Browser, platform: Platform) -> None:
    await fill(platform)

    async def read(path: str) -> tuple[list[int], dict[str, str]]:
        page = await read_page(admin, path)
        links = {rel: unescape(url) for url, rel in re.findall(r'href="([^"]+)" rel="(\w+)"', page)}
        return [int(entry) for entry in re.findall(r'id="entry-(\d+)"', page)], links

    first, links = await read("/audit?limit=2&from=2026-11-01")
    second, links = await read(links["next"] + "&limit=2")
    third, last_links = await read(links["next"] + "&limit=2")
    back, _ = await read(last_links["prev"] + "&limit=2")

    assert (first, second, third, back) == ([5, 4], [3, 2], [1], [3, 2])
    assert "next" not in last_links
    page = await read_page(admin, links["next"].replace("from=2026-11-01", "from=2026-11-02"))
    assert "That part of the list can't be found any more. This is its beginning." in page


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "action=flew",
        "outcome=maybe",
        "from=yesterday",
        "from=1700000000",
        "to=2026-02-30",
        "cursor=x",
        "limit=0",
        "person=%00",
        f"person={'x' * 256}",
    ],
)
async def test_what_cannot_be_understood_is_refused(query: str, admin: Browser) -> None:
    for path in ("/audit.csv", "/api/audit"):
        async with admin.get(f"{path}?{query}") as response:
            assert response.status == 400, path
    page = await read_page(admin, f"/audit?{query}")
    is_said = "was left out." in page or "This is its beginning." in page
    assert is_said is (query != "colour=red")


# The CSV


HOSTILE = [
    '=HYPERLINK("http://evil.test")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\N{FULLWIDTH EQUALS SIGN}1",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_cell_is_a_formula(text: str, admin: Browser, platform: Platform) -> None:
    await platform.connection.execute("UPDATE users SET name = %s WHERE id = 'ann'", [text])
    columns = ("action", "reason", "actor", "actor_role", "actor_by", "address", "user_id", "object", "details")
    values = [text, text, "ann", *[text] * 6]
    await platform.connection.execute(
        f"INSERT INTO tutorwatch.audit_trail (outcome, {', '.join(columns)})"
        " VALUES ('refused', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        values,
    )
    async with admin.get("/audit.csv?outcome=refused") as response:
        body = await response.text()

    [row] = csv.DictReader(io.StringIO(body))
    written = {name: row[name] for name in (*columns, "actor_name") if name != "actor"}
    assert {value[0] for value in written.values()} == {"'"}
    assert {json.loads(f'"{value[1:]}"'.replace('("', "(").replace('")', ")")) for value in written.values()} == {
        text.replace('"', "")
    }
    assert body.count("\n") == 2, "a line for each row"


async def test_csv_is_a_file_that_is_kept_by_nobody(admin: Browser, platform: Platform) -> None:
    await fill(platform)
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail (action, outcome, details) VALUES ('note_added', 'done', %s)",
        ['a "quoted", list\r\nof; é\u2028\x00'.replace("\x00", "")],
    )
    async with admin.get("/audit.csv") as response:
        body = await response.text()
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert re.fullmatch(
            r'attachment; filename="tutorwatch-audit-\d{4}-\d\d-\d\d.csv"', response.headers["Content-Disposition"]
        )
        assert response.headers["Cache-Control"] == "no-store"
    async with admin.head("/audit.csv") as response:
        assert (response.status, await response.read()) == (200, b"")

    exported, noted, *rest = csv.DictReader(io.StringIO(body))
    assert list(noted) == [field.name for field in fields(AuditRow)]
    assert (noted["details"], noted["actor"]) == ('a "quoted", list\\r\\nof; é\\u2028', "")
    assert (exported["action"], exported["actor_name"]) == ("audit_exported", "Dana Whitfield")
    assert [row["at"] for row in rest][-1] == "2026-11-01T00:00:00+00:00"
    assert len(await platform.rows("SELECT FROM tutorwatch.audit_trail WHERE action = 'audit_exported'")) == 1


async def test_csv_is_read_and_sent_some_entries_at_a_time(
    server: TestServer, admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the same instant, too; whatever is added meanwhile."""
    monkeypatch.setattr(audit_pages, "ROWS_AT_A_TIME", 7)
    await platform.connection.execute(
        "INSERT INTO tutorwatch.audit_trail (at, action, outcome)"
        " SELECT now() - (n / 10) * interval '1 second', 'sign_out', 'done' FROM generate_series(1, 50) AS n"
    )
    read = []

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "FROM tutorwatch.audit_trail" in statement:
            read.append("LIMIT 8" in statement)

    event.listen(server.app[ENGINE].sync_engine, "before_cursor_execute", note)
    async with admin.get("/audit.csv?action=sign_out") as response:
        rows = list(csv.DictReader(io.StringIO(await response.text())))
    event.remove(server.app[ENGINE].sync_engine, "before_cursor_execute", note)

    expected = await platform.rows(
        "SELECT id FROM tutorwatch.audit_trail WHERE action = 'sign_out' ORDER BY at DESC, id DESC"
    )
    assert [int(row["id"]) for row in rows] == expected
    assert read == [True] * 8


async def test_csv_that_cannot_be_sent_to_its_end_breaks_off(
    server: TestServer, admin: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(platform)
    monkeypatch.setattr(audit_pages, "ROWS_AT_A_TIME", 2)
    asked = []

    def fail(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)
        if "LIMIT 3" in statement and "<" in statement:
            raise RuntimeError("the second read fails")

    event.listen(server.app[ENGINE].sync_engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(aiohttp.ClientError):
            async with admin.get("/audit.csv") as response:
                await response.read()
    finally:
        event.remove(server.app[ENGINE].sync_engine, "before_cursor_execute", fail)
    assert asked
