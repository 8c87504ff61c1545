"""docs/rights.md says of each thing what each role may do with it: every cell of its table is tried in a database."""

from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from migrations import rights, upgrade
from tests.security.test_rights import DOCUMENT, connected, owned_url, roles_a_and_b

__all__ = ["owned_url", "roles_a_and_b"]

ROLES = {"owner": "owner", "listener": "a", "dashboard": "b"}


@dataclass(frozen=True)
class Cell:
    """What the document says, and the statements that show it: those that pass, and those that are refused."""

    says: str
    passes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


ALL, NOTHING = "everything", "nothing"
USER = "INSERT INTO users (id, email, name, role) VALUES ('eve', 'eve@x.test', 'Eve', 'admin')"
SIGN_IN = "INSERT INTO tutorwatch.sign_ins (token_hash, user_id) VALUES ('x', 'ann')"
LINK = "INSERT INTO tutorwatch.sign_in_links (token_hash, user_id, expires_at) VALUES ('x', 'ann', 'infinity')"
TOKEN = "INSERT INTO tutorwatch.api_tokens (name, token_hash) VALUES ('x', 'x')"
IDENTITY = "INSERT INTO tutorwatch.identities (issuer, subject, user_id) VALUES ('https://id.test', 's', 'ann')"
PASSWORD = "INSERT INTO tutorwatch.credentials (user_id, parameters, key_digest) VALUES ('eve', 'p', 'd')"
FROM_PROVIDER = "SELECT tutorwatch.sign_in_from_provider('https://id.test', 's', 'ann@x.test', 'x', NULL, NULL)"
BY_PASSWORD = "SELECT tutorwatch.sign_in_with_password('ann', 'key', 'x', NULL, NULL)"
BY_LINK = "SELECT tutorwatch.sign_in_with_link('token', 'x', NULL, NULL)"
ALERT = (
    "INSERT INTO alerts (tutor_id, alert_type, severity, title, description)"
    " VALUES ('ann', 'no_show_pattern', 'critical', 't', 'd')"
)
NOTE = "INSERT INTO coaching_notes (tutor_id, note_type, content) VALUES ('ann', 'manual', 'x')"
ENTRY = "INSERT INTO tutorwatch.audit_trail (action, outcome) VALUES ('x', 'done')"
DATED_ENTRY = "INSERT INTO tutorwatch.audit_trail (at, action, outcome) VALUES ('2020-01-01', 'x', 'done')"
OPEN = "SELECT tutorwatch.open_alerts('[]', now()::timestamp)"
REOPEN = "SELECT * FROM tutorwatch.reopen_alert('00000000-0000-4000-8000-000000000001', 1)"
ATTEND = "INSERT INTO tutorwatch.alert_attention (alert_id, tutor_id) VALUES (gen_random_uuid(), 'ann')"
EVENT = "INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event) VALUES (gen_random_uuid(), 'ann', 'opened')"
DATED_EVENT = (
    "INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, at)"
    " VALUES (gen_random_uuid(), 'ann', 'opened', '2020-01-01')"
)
END_DUPLICATES = "SELECT tutorwatch.end_duplicate_alerts('{}', '{}', now()::timestamp)"
PRUNE = "SELECT * FROM tutorwatch.keep_audit_trail(90)"
THROTTLE = "INSERT INTO tutorwatch.sign_in_failures (subject) VALUES ('x')"
CHANNEL = "INSERT INTO tutorwatch.channels (name, kind, target, shown) VALUES ('x', 'email', 'mailto:x@x.test', 'x')"
DELIVERY = (
    "INSERT INTO tutorwatch.deliveries (alert_id, tutor_id, history_id, event, channel_id)"
    " VALUES (gen_random_uuid(), 'ann', 1, 'opened', gen_random_uuid())"
)
OUTBOX = "INSERT INTO tutorwatch.outbox (tutor_id) VALUES ('ann')"
RESOLVE = "UPDATE alerts SET resolved = true, resolved_at = now(), action_taken = 'x'"
EVIDENCE = "UPDATE tutorwatch.alert_evidence SET value = 0"
INSIGHT = (
    "INSERT INTO tutor_insights (tutor_id, category, insight_type, display_text, detected_at, is_active)"
    " VALUES ('ann', 'high_engagement', 'strength', 'x', now(), true)"
)

NO_DDL = Cell(
    "nothing but temporary tables, which PostgreSQL lets everybody create",
    ("CREATE TEMPORARY TABLE mine (a int)",),
    (
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE tutorwatch.mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE INDEX ON alerts (title)",
        "ALTER TABLE sessions DISABLE TRIGGER tutorwatch_insert",
        "DROP TABLE tutorwatch.outbox",
        "INSERT INTO tutorwatch.service_roles VALUES ('web', 'eve')",
    ),
)

TABLE: dict[str, tuple[Cell, Cell, Cell]] = {
    "users": (
        Cell(ALL, (USER, "UPDATE users SET role = 'admin'", "SELECT email FROM users")),
        Cell(
            "reads id, name and role; no e-mail address; changes nothing",
            ("SELECT id, name, role FROM users",),
            ("SELECT email FROM users", USER, "UPDATE users SET role = 'admin'", "DELETE FROM users"),
        ),
        Cell(
            "reads id, name, role and e-mail address; changes nothing",
            ("SELECT id, name, role, email FROM users",),
            ("SELECT avatar_url FROM users", USER, "UPDATE users SET role = 'admin'", "DELETE FROM users"),
        ),
    ),
    "passwords": (
        Cell(
            "sets them without the old one; reads salt, parameters and the digest of the key, not the key itself",
            (PASSWORD, "SELECT parameters, key_digest FROM tutorwatch.credentials"),
        ),
        Cell(
            NOTHING,
            refused=(
                "SELECT parameters FROM tutorwatch.credentials",
                PASSWORD,
                "SELECT tutorwatch.password_parameters('ann')",
                "SELECT tutorwatch.replace_password('ann', 'key', 'p', 'd')",
                "SELECT tutorwatch.set_password_with_link('token', 'p', 'd')",
            ),
        ),
        Cell(
            "is told salt and parameters, of any account; replaces a password beside the old one's key or the token of"
            " a link; reads no digest, sets none without such a proof",
            (
                "SELECT tutorwatch.password_parameters('ann')",
                "SELECT tutorwatch.replace_password('ann', 'key', 'p', 'd')",
                "SELECT tutorwatch.set_password_with_link('token', 'p', 'd')",
            ),
            (
                "SELECT key_digest FROM tutorwatch.credentials",
                "SELECT count(*) FROM tutorwatch.credentials",
                PASSWORD,
                "UPDATE tutorwatch.credentials SET key_digest = 'x'",
                "DELETE FROM tutorwatch.credentials",
            ),
        ),
    ),
    "sign-ins": (
        Cell("everything: signs in anybody", (SIGN_IN, "DELETE FROM tutorwatch.sign_ins")),
        Cell(
            NOTHING,
            refused=(
                "SELECT token_hash FROM tutorwatch.sign_ins",
                "DELETE FROM tutorwatch.sign_ins",
                SIGN_IN,
                BY_PASSWORD,
                BY_LINK,
            ),
        ),
        Cell(
            "reads whose they are and the hashes of their cookies; makes one beside the key of a password or the token"
            " of a link; ends them; makes none without such a proof, and gives none to somebody else",
            (
                "SELECT token_hash, user_id, address FROM tutorwatch.sign_ins",
                BY_PASSWORD,
                BY_LINK,
                "UPDATE tutorwatch.sign_ins SET seen_at = now()",
                "DELETE FROM tutorwatch.sign_ins",
            ),
            (
                SIGN_IN,
                "UPDATE tutorwatch.sign_ins SET user_id = 'ann'",
                "UPDATE tutorwatch.sign_ins SET token_hash = 'x'",
            ),
        ),
    ),
    "one-time links": (
        Cell("everything: makes them", (LINK, "DELETE FROM tutorwatch.sign_in_links")),
        Cell(NOTHING, refused=("SELECT token_hash FROM tutorwatch.sign_in_links", LINK, BY_LINK)),
        Cell(
            "reads whose they are and the hashes of their tokens, which use none up; ends them; makes none",
            ("SELECT token_hash, user_id FROM tutorwatch.sign_in_links", "DELETE FROM tutorwatch.sign_in_links"),
            (LINK, "UPDATE tutorwatch.sign_in_links SET user_id = 'ann'"),
        ),
    ),
    "identities at a provider": (
        Cell(ALL, (IDENTITY, "DELETE FROM tutorwatch.identities", FROM_PROVIDER)),
        Cell(NOTHING, refused=("SELECT subject FROM tutorwatch.identities", IDENTITY, FROM_PROVIDER)),
        Cell(
            "nothing; with `--openid` it signs in anybody, as below",
            refused=("SELECT subject FROM tutorwatch.identities", IDENTITY, FROM_PROVIDER),
        ),
    ),
    "programs' tokens": (
        Cell("everything: makes and revokes them", (TOKEN, "UPDATE tutorwatch.api_tokens SET revoked_at = now()")),
        Cell(NOTHING, refused=("SELECT token_hash FROM tutorwatch.api_tokens", TOKEN)),
        Cell(
            "reads them with their hashes, which let nobody in; notes their use; makes, changes and revokes none",
            (
                "SELECT name, token_hash, scope FROM tutorwatch.api_tokens",
                "UPDATE tutorwatch.api_tokens SET last_used_at = now()",
            ),
            (
                TOKEN,
                "UPDATE tutorwatch.api_tokens SET user_id = 'ann'",
                "UPDATE tutorwatch.api_tokens SET scope = 'act'",
                "UPDATE tutorwatch.api_tokens SET expires_at = 'infinity'",
                "UPDATE tutorwatch.api_tokens SET revoked_at = NULL",
                "DELETE FROM tutorwatch.api_tokens",
            ),
        ),
    ),
    "failed sign-ins, known browsers": (
        Cell(ALL, (THROTTLE, "DELETE FROM tutorwatch.known_browsers")),
        Cell(
            NOTHING,
            refused=("SELECT subject FROM tutorwatch.sign_in_failures", "DELETE FROM tutorwatch.known_browsers"),
        ),
        Cell(
            "writes, forgets: with its password nobody's guesses are slowed down but by Argon2id",
            (
                THROTTLE,
                "DELETE FROM tutorwatch.sign_in_failures",
                "DELETE FROM tutorwatch.sign_in_locks",
                "INSERT INTO tutorwatch.known_browsers (token_hash, user_id) VALUES ('x', 'ann')",
                "DELETE FROM tutorwatch.known_browsers",
            ),
            ("UPDATE tutorwatch.sign_in_failures SET failed_at = now()",),
        ),
    ),
    "chosen time zones": (
        Cell(ALL, ("DELETE FROM tutorwatch.preferences",)),
        Cell(NOTHING, refused=("SELECT * FROM tutorwatch.preferences", "DELETE FROM tutorwatch.preferences")),
        Cell(
            "reads and writes them; makes none somebody else's",
            (
                "INSERT INTO tutorwatch.preferences VALUES ('ann', 'Europe/Berlin')",
                "UPDATE tutorwatch.preferences SET time_zone = 'UTC'",
                "SELECT * FROM tutorwatch.preferences",
                "DELETE FROM tutorwatch.preferences",
            ),
            ("UPDATE tutorwatch.preferences SET user_id = 'ann'",),
        ),
    ),
    "sessions and metrics": (
        Cell(ALL, ("UPDATE sessions SET overall_session_score = 10", "DELETE FROM session_audio_metrics")),
        Cell(
            "reads sessions, audio and video metrics; no feedback; changes nothing",
            ("SELECT * FROM sessions", "SELECT * FROM session_audio_metrics", "SELECT * FROM session_video_metrics"),
            (
                "SELECT feedback_text FROM session_feedback",
                "UPDATE sessions SET overall_session_score = 10",
                "INSERT INTO sessions SELECT * FROM sessions",
                "DELETE FROM session_audio_metrics",
            ),
        ),
        Cell(
            "reads them, screen metrics, feedback and subjects, too; changes nothing",
            (
                "SELECT * FROM sessions",
                "SELECT * FROM session_audio_metrics",
                "SELECT * FROM session_video_metrics",
                "SELECT * FROM session_screen_metrics",
                "SELECT * FROM session_feedback",
                "SELECT * FROM subjects",
            ),
            (
                "UPDATE sessions SET overall_session_score = 10",
                "INSERT INTO sessions SELECT * FROM sessions",
                "DELETE FROM session_audio_metrics",
                "UPDATE session_feedback SET feedback_text = 'x'",
            ),
        ),
    ),
    "alerts": (
        Cell(ALL, (ALERT, RESOLVE, "DELETE FROM alerts")),
        Cell(
            "reads them; opens them by a function, as nobody's yet; updates their text; ends duplicates by a function;"
            " acknowledges, resolves and deletes none",
            (
                "SELECT * FROM alerts",
                OPEN,
                "UPDATE alerts SET title = 't', description = 'd'",
                END_DUPLICATES,
                "DELETE FROM tutorwatch.alert_resolutions",
            ),
            (
                ALERT,
                "UPDATE alerts SET acknowledged = true",
                RESOLVE,
                "UPDATE alerts SET tutor_id = 'ann'",
                "DELETE FROM alerts",
                "UPDATE tutorwatch.alert_resolutions SET message_to_tutor = 'x'",
            ),
        ),
        Cell(
            "reads them; acknowledges, resolves, with a message to the tutor; takes a resolution back by a function;"
            " opens, rewrites, moves and deletes none",
            (
                REOPEN,
                "SELECT * FROM alerts",
                "UPDATE alerts SET acknowledged = true, acknowledged_by = 'ann', acknowledged_at = now()",
                RESOLVE,
                "UPDATE tutorwatch.alert_resolutions SET message_to_tutor = 'x'",
            ),
            (
                ALERT,
                OPEN,
                END_DUPLICATES,
                "UPDATE alerts SET description = 'd'",
                "UPDATE alerts SET tutor_id = 'ann'",
                "DELETE FROM alerts",
                "DELETE FROM tutorwatch.alert_resolutions",
            ),
        ),
    ),
    "insights": (
        Cell(ALL, (INSIGHT, "DELETE FROM tutor_insights")),
        Cell(
            "reads, writes and ends them; moves and deletes none",
            (
                "SELECT * FROM tutor_insights",
                INSIGHT,
                "UPDATE tutor_insights SET is_active = false, resolved_at = now()",
            ),
            ("UPDATE tutor_insights SET tutor_id = 'ann'", "DELETE FROM tutor_insights"),
        ),
        Cell(
            "reads them; changes nothing",
            ("SELECT * FROM tutor_insights",),
            (INSIGHT, "UPDATE tutor_insights SET is_active = false", "DELETE FROM tutor_insights"),
        ),
    ),
    "history of alerts": (
        Cell(ALL, (EVENT, "DELETE FROM tutorwatch.alert_history")),
        Cell(
            "adds to it; reads, changes and removes nothing",
            (EVENT,),
            (
                "SELECT * FROM tutorwatch.alert_history",
                "UPDATE tutorwatch.alert_history SET details = 'x'",
                "DELETE FROM tutorwatch.alert_history",
                DATED_EVENT,
                REOPEN,
            ),
        ),
        Cell(
            "reads it and adds to it; changes and removes nothing",
            ("SELECT * FROM tutorwatch.alert_history", EVENT),
            (
                "UPDATE tutorwatch.alert_history SET details = 'x'",
                "DELETE FROM tutorwatch.alert_history",
                DATED_EVENT,
            ),
        ),
    ),
    "who attends to alerts": (
        Cell(ALL, (ATTEND, "DELETE FROM tutorwatch.alert_attention")),
        Cell(
            "reads and writes it; reopens no alert",
            ("SELECT * FROM tutorwatch.alert_attention", ATTEND, "DELETE FROM tutorwatch.alert_attention"),
            ("UPDATE tutorwatch.alert_attention SET reopened_at = now()",),
        ),
        Cell(
            "reads and writes it; removes nothing, and reopens by that function alone",
            ("SELECT * FROM tutorwatch.alert_attention", ATTEND),
            (
                "DELETE FROM tutorwatch.alert_attention",
                "UPDATE tutorwatch.alert_attention SET reopened_at = now()",
            ),
        ),
    ),
    "coaching notes": (
        Cell(ALL, (NOTE, "DELETE FROM coaching_notes")),
        Cell(NOTHING, refused=("SELECT content FROM coaching_notes", NOTE)),
        Cell(
            "reads and adds them; changes none, and deletes only the one of a resolution that is taken back",
            ("SELECT * FROM coaching_notes", NOTE),
            ("UPDATE coaching_notes SET content = 'x'", "DELETE FROM coaching_notes"),
        ),
    ),
    "evidence": (
        Cell(ALL, (EVIDENCE, "DELETE FROM tutorwatch.consumed_sessions")),
        Cell(
            "reads, writes and forgets it",
            (
                "SELECT * FROM tutorwatch.alert_evidence",
                EVIDENCE,
                "DELETE FROM tutorwatch.alert_evidence",
                "DELETE FROM tutorwatch.consumed_sessions",
            ),
            ("UPDATE tutorwatch.consumed_sessions SET alert_type = 'x'", "TRUNCATE tutorwatch.alert_evidence"),
        ),
        Cell(
            "reads it; changes nothing",
            ("SELECT * FROM tutorwatch.alert_evidence", "SELECT * FROM tutorwatch.consumed_sessions"),
            (EVIDENCE, "DELETE FROM tutorwatch.consumed_sessions"),
        ),
    ),
    "outbox and failing tutors": (
        Cell(ALL, (OUTBOX, "DELETE FROM tutorwatch.failures")),
        Cell(
            "reads, writes and empties them",
            (
                "SELECT * FROM tutorwatch.outbox",
                OUTBOX,
                "DELETE FROM tutorwatch.outbox",
                "DELETE FROM tutorwatch.failures",
            ),
            ("TRUNCATE tutorwatch.outbox",),
        ),
        Cell(
            "reads which changes wait, and since when; has failing tutors tried again; adds and removes nothing",
            (
                "SELECT tutor_id, session_ids, recorded_at FROM tutorwatch.outbox",
                "UPDATE tutorwatch.failures SET parked_at = NULL, wanted = true",
            ),
            (
                "SELECT wakes FROM tutorwatch.outbox",
                OUTBOX,
                "DELETE FROM tutorwatch.outbox",
                "UPDATE tutorwatch.failures SET last_error = 'x'",
                "DELETE FROM tutorwatch.failures",
            ),
        ),
    ),
    "channels and deliveries": (
        Cell(ALL, (CHANNEL, "UPDATE tutorwatch.channels SET secret = 'x'", "DELETE FROM tutorwatch.deliveries")),
        Cell(
            "reads them, targets and secrets included; switches channels off, notes what came of deliveries and forgets"
            " them; makes and redirects none",
            (
                "SELECT target, secret FROM tutorwatch.channels",
                "UPDATE tutorwatch.channels SET is_on = false, switched_off_because = 'x', paused_until = now()",
                "UPDATE tutorwatch.deliveries SET state = 'delivered'",
                "DELETE FROM tutorwatch.deliveries",
            ),
            (
                CHANNEL,
                "UPDATE tutorwatch.channels SET target = 'mailto:eve@x.test'",
                "UPDATE tutorwatch.channels SET secret = 'x'",
                "DELETE FROM tutorwatch.channels",
                DELIVERY,
                "UPDATE tutorwatch.deliveries SET channel_id = gen_random_uuid()",
            ),
        ),
        Cell(
            "reads them without targets and secrets; changes nothing",
            (
                "SELECT name, kind, shown, is_on FROM tutorwatch.channels",
                "SELECT * FROM tutorwatch.deliveries",
            ),
            (
                "SELECT target FROM tutorwatch.channels",
                "SELECT secret FROM tutorwatch.channels",
                CHANNEL,
                "UPDATE tutorwatch.channels SET is_on = false",
                DELIVERY,
                "UPDATE tutorwatch.deliveries SET state = 'waiting'",
            ),
        ),
    ),
    "canary": (
        Cell(ALL, ("SELECT tutorwatch.try_recording()", "DELETE FROM tutorwatch.canary_markers")),
        Cell(
            "writes a test session by a function that takes it back; keeps what came of it",
            ("SELECT tutorwatch.try_recording()", "UPDATE tutorwatch.canary SET due_at = now()"),
            ("SELECT tutorwatch.test_insert('sessions', '{}')",),
        ),
        Cell(
            "reads what came of it; changes nothing",
            ("SELECT * FROM tutorwatch.canary", "SELECT * FROM tutorwatch.canary_markers"),
            ("SELECT tutorwatch.try_recording()", "UPDATE tutorwatch.canary SET due_at = now()"),
        ),
    ),
    "audit trail": (
        Cell(
            "everything: whoever owns a table can rewrite it",
            (DATED_ENTRY, "UPDATE tutorwatch.audit_trail SET actor = 'x'", "DELETE FROM tutorwatch.audit_trail"),
        ),
        Cell(
            "adds entries; by a function removes those older than 90 days, and the names of deleted users; reads, dates"
            " and changes none",
            (ENTRY, PRUNE),
            (
                "SELECT action FROM tutorwatch.audit_trail",
                DATED_ENTRY,
                "UPDATE tutorwatch.audit_trail SET outcome = 'done'",
                "DELETE FROM tutorwatch.audit_trail",
                "TRUNCATE tutorwatch.audit_trail",
            ),
        ),
        Cell(
            "adds entries, of whatever it says, and reads them; dates, changes and removes none",
            (ENTRY, "SELECT * FROM tutorwatch.audit_trail"),
            (
                DATED_ENTRY,
                "UPDATE tutorwatch.audit_trail SET outcome = 'done'",
                "DELETE FROM tutorwatch.audit_trail",
                "TRUNCATE tutorwatch.audit_trail",
                PRUNE,
            ),
        ),
    ),
    "schema": (
        Cell("creates, alters and drops", ("CREATE TABLE tutorwatch.mine (a int)", "DROP TABLE tutorwatch.canary")),
        NO_DDL,
        NO_DDL,
    ),
}
"""In the document's order: the cells of owner, listener and dashboard."""


def documented() -> dict[str, tuple[str, ...]]:
    """The table of the document that says who may do what with which thing."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index("| | owner | listener | dashboard |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {row[0].strip("*"): tuple(row[1:]) for row in rows}


def test_document_says_what_is_tried_here() -> None:
    assert documented() == {thing: tuple(cell.says for cell in cells) for thing, cells in TABLE.items()}


def test_every_cell_is_tried() -> None:
    for thing, cells in TABLE.items():
        for role, cell in zip(ROLES, cells, strict=True):
            assert cell.passes or cell.refused, (thing, role)
            assert bool(cell.passes) is (not cell.says.startswith(NOTHING) or thing == "schema"), (thing, role)
            assert cell.refused or role == "owner", "what is not allowed is tried, too"


def test_each_role_may_do_what_its_cells_say_and_nothing_that_they_deny(owned_url: str) -> None:
    upgrade.migrate(owned_url)
    with connected(owned_url) as owner:
        rights.give(owner, listener="a", web="b")
        owner.execute("INSERT INTO users (id, email, name, role) VALUES ('ann', 'ann@x.test', 'Ann', 'tutor')")

    wrong = []
    for column, (role, name) in enumerate(ROLES.items()):
        url = make_conninfo(owned_url, user=name)
        for thing, cells in TABLE.items():
            cell = cells[column]
            tried = [(statement, True) for statement in cell.passes] + [(each, False) for each in cell.refused]
            wrong += [(thing, role, each, came) for each, may in tried if (came := outcome(url, each)) != OUTCOMES[may]]
    assert wrong == []


OUTCOMES = {True: "done", False: "refused"}


def outcome(url: str, statement: str) -> str:
    """What comes of it, in a transaction that is rolled back."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return "refused"
        except psycopg.Error as error:
            return str(error)
        finally:
            connection.rollback()
    return "done"


@pytest.mark.parametrize("openid", [False, True])
def test_only_with_openid_a_stolen_role_signs_in_anybody(openid: bool, owned_url: str) -> None:
    upgrade.migrate(owned_url)
    with connected(owned_url) as owner:
        rights.give(owner, listener="a", web="b", openid=openid)

    came = {name: outcome(make_conninfo(owned_url, user=name), FROM_PROVIDER) for name in ("a", "b")}
    assert came == {"a": "refused", "b": OUTCOMES[openid]}
