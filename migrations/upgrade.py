"""Brings a database to the schema this program needs: `migrate`, and what belongs to it."""

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_delay, wait_random_exponential

from database.connections import connect, sync_engine
from database.errors import first_line
from database.platform import read_comparison, read_hidden_rows
from database.recording import REEVALUATE_ALL, SWITCH_OFF
from database.retries import RETRY_ALL
from database.session_settings import UNHURRIED
from migrations import deployed_schema, repair, rights
from migrations.automation import reevaluate_all
from migrations.indexes import Step
from migrations.installed import Damage, Kind, find_damage
from migrations.needs import estimate_index_bytes, find_missing_rights
from migrations.waiting import holders, telling_whom_we_wait_for

logger = logging.getLogger(__name__)

LOCK_KEY = 7_310_118_241
"""Advisory lock of the one migration that may run in a database at a time (an arbitrary number)."""

APPLICATION_NAME = "tutorwatch-migrate"

PATIENCE_SECONDS = 300.0
"""How long a busy table of ours is tried again before migrating gives up."""
LOCK_WAIT = "500ms"
"""How long a change of our own tables waits for its lock: half of `deadlock_timeout` (1 s by default), so that a
deadlock ends the change, which is tried again."""

BESIDE_OLD_SERVICES = "0018"
"""Up to this revision services of revision 0017 go on undisturbed; before the next one they must have ended."""
OLD_SERVICES_SECONDS = 60.0
"""How long `migrate` waits for them to end."""


class SchemaError(Exception):
    """The database can't be migrated as it is; the message says why and what to do."""


@dataclass(frozen=True)
class Migrated:
    """What a migration did: revisions before and after (None: none yet), and what it repaired."""

    before: str | None
    after: str
    repaired: tuple[str, ...] = ()
    freed: int = 0
    """Failing tutors that are tried again, since what made them fail may have been repaired."""


def head_revision() -> str:
    """The newest revision this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise SchemaError("The program's migrations are missing: install it again")
    return head


def current_revision(database_url: str) -> str | None:
    """The database's revision; None before the first migration."""
    with _connect(_engine(database_url)) as connection:
        return _revision(connection)


@dataclass(frozen=True)
class Preview:
    """What `migrate` would do."""

    problems: tuple[str, ...]
    """What keeps it from doing it, a line each."""
    pending: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is worth knowing, and keeps nobody from anything."""


def preview(database_url: str) -> Preview:
    """What `migrate` would still have to do, and what keeps it from it. Reads the catalogs only."""
    with _connect(_engine(database_url)) as connection:
        _refuse_newer(connection)
        problems = deployed_schema.find_problems(connection)
        comparison = read_comparison(connection)
        notes = [] if problems else [*map(str, comparison.missing_features), *map(str, comparison.missing_labels)]
        if deployed_schema.is_empty(connection):
            notes = []
        hidden = read_hidden_rows(connection)
        notes += [line for line in map(str, hidden) if line not in problems]
        revisions = _pending(_revision(connection))
    pending = [f"revision {revision} ({subject}) is not applied" for revision, subject in revisions]
    if not problems and not pending:
        pending = damage(database_url)
    if pending:
        with _open(database_url, autocommit=True) as session:
            problems += find_missing_rights(session)
            index_bytes = estimate_index_bytes(session)
            if index_bytes > WORTH_TELLING_BYTES:
                notes.append(f"the indexes to be built take about {_shown_size(index_bytes)} of disk")
    return Preview(tuple(problems), tuple(pending), tuple(notes))


WORTH_TELLING_BYTES = 1_000_000


def _shown_size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


def check(database_url: str) -> list[str]:
    """What `migrate` would still have to do, or what keeps it from it, a line each; empty if nothing."""
    found = preview(database_url)
    return [*found.problems, *found.pending]


def damage(database_url: str) -> list[str]:
    """What isn't as the newest revision left it, a line each. Of a database at that revision."""
    with _open(database_url, autocommit=True) as connection:
        return [str(each) for each in find_damage(connection)]


def to_sql(database_url: str, *, automation: bool) -> str:
    """The statements `migrate` would run on this database, as a script for psql, empty if none; changes nothing."""
    with _connect(_engine(database_url)) as connection:
        _refuse_problems(connection)
        before = _revision(connection)
        facts = _facts(connection)
    with _open(database_url, autocommit=True) as plain:
        _refuse_lost_tables(plain, before=before)
        damage, steps = repair.plan(plain)
        turns_off = before in (None, "0017") and not (automation and _was_on(plain, before=before))
    if before == head_revision() and not steps:
        return ""
    additions, removals = _parted(steps)
    parts = ["\\set ON_ERROR_STOP on\nSET client_min_messages = warning;", f"SET lock_timeout = '{LOCK_WAIT}';"]
    if before != head_revision():
        parts += ["CREATE SCHEMA IF NOT EXISTS tutorwatch;"] if before is None else []
        if before in (None, "0017"):
            parts.append(_revisions_as_sql(f"{before or 'base'}:{BESIDE_OLD_SERVICES}", facts))
            parts += [f"{SWITCH_OFF};"] if turns_off else []
    parts += [step.as_script() for step in additions]
    if before != head_revision():
        if before is not None:
            parts.append(f"{_CUT_OFF_SERVICES}-- Go on when the services of the version before have ended.")
        parts.append(f"SET lock_timeout = '{LOCK_WAIT}';")
        after = BESIDE_OLD_SERVICES if before in (None, "0017") else before
        parts.append(_revisions_as_sql(f"{after}:head", facts))
    parts += [step.as_script() for step in removals]
    if before is not None and any(each.may_have_hidden_changes for each in damage):
        parts.append(f"{REEVALUATE_ALL.strip()};")
    return "\n\n".join(parts) + "\n"


def _parted(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """The steps that add something, and those that only remove."""
    return [step for step in steps if not step.is_removal], [step for step in steps if step.is_removal]


def _revisions_as_sql(revisions: str, facts: dict[str, Any]) -> str:
    script = io.StringIO()
    config = _config(output=script)
    config.attributes |= facts
    command.upgrade(config, revisions, sql=True)
    return script.getvalue().strip()


def migrate(database_url: str, *, automation: bool = True) -> Migrated:
    """Creates or adopts the platform's tables and adds everything of ours; running it again changes nothing.

    What was there and has been dropped, replaced or broken since is repaired: functions, triggers and indexes.

    A second migration of the same database waits for the first. It can be interrupted at any point and
    started again. `automation=False` installs the triggers with the switch off.

    Raises SchemaError for a database that isn't the platform's, is newer than this program, or is in use by services
    of an older version that go on although they were told to end.
    """
    engine = _engine(database_url)
    with (
        telling_whom_we_wait_for(database_url, APPLICATION_NAME),
        _only_migration(engine),
        _open(database_url, autocommit=True) as plain,
    ):
        with _connect(engine) as connection:
            _refuse_problems(connection)
            before = _revision(connection)
        _refuse_stranger(plain)
        repaired: list[Damage] = []
        if before != head_revision():
            repaired += _upgrade_all(engine, plain, before=before, automation=automation)
        _refuse_lost_tables(plain, before=head_revision())
        try:
            repaired += repair.repair(plain)
        except psycopg.ProgrammingError as error:  # a right that is missing, or something else of that name
            raise SchemaError(f"The damage can't be repaired ({first_line(error)}): see `tutorwatch doctor`") from error
        if repaired or before != head_revision():
            _give_rights_again(plain)
        freed = _catch_up(plain, repaired) if before is not None and (repaired or before != head_revision()) else 0
    told = () if before != head_revision() else tuple(str(each) for each in repaired)
    return Migrated(before, head_revision(), told, freed)


def _upgrade_all(engine: Engine, plain: psycopg.Connection, *, before: str | None, automation: bool) -> list[Damage]:
    """All revisions, and what they need; returns what was installed."""
    installed: list[Damage] = []
    if before in (None, "0017", BESIDE_OLD_SERVICES):
        turns_off = before != BESIDE_OLD_SERVICES and not (automation and _was_on(plain, before=before))
        _upgrade(engine, BESIDE_OLD_SERVICES)
        if turns_off:
            plain.execute(SWITCH_OFF.encode())
        installed = repair.repair(plain, with_removals=False)
    if before is not None:
        _end_older_services(plain)
    _upgrade(engine, "head")
    return installed


def _was_on(connection: psycopg.Connection, *, before: str | None) -> bool:
    """Whether changes are recorded at revision 0017, where the switch was the triggers' own state."""
    if before is None:
        return True
    found = connection.execute(
        "SELECT count(*) = 0 OR bool_or(tgenabled IN ('O', 'A')) FROM pg_trigger"
        " WHERE tgname = ANY(%s) AND tgrelid = to_regclass('public.sessions')",
        [["tutorwatch_insert", "tutorwatch_update", "tutorwatch_delete", "tutorwatch_truncate"]],
    ).fetchone()
    return bool(found and found[0])


def _catch_up(connection: psycopg.Connection, repaired: list[Damage]) -> int:
    """Has everything evaluated that may have been missed; returns how many failing tutors are tried again."""
    if any(each.may_have_hidden_changes for each in repaired):
        reevaluate_all(connection)
    return connection.execute(RETRY_ALL.encode()).rowcount


def _give_rights_again(connection: psycopg.Connection) -> None:
    """New tables and functions are nobody's until the services' roles are given them."""
    roles = rights.recorded(connection)
    if roles is None:
        return
    try:
        rights.give(
            connection, listener=roles["listener"], web=roles["web"], openid=roles.get(rights.OPENID) == roles["web"]
        )
    except (rights.RightsError, psycopg.Error) as error:
        logger.warning(
            "The services' roles don't have their rights again (%s): run `tutorwatch rights`", first_line(error)
        )


def _is_busy_table(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, psycopg.errors.LockNotAvailable)


@retry(
    retry=retry_if_exception(_is_busy_table),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    stop=stop_after_delay(PATIENCE_SECONDS),
    before_sleep=before_sleep_log(logger, logging.WARNING),
    reraise=True,
)
def _upgrade(engine: Engine, revision: str) -> None:
    with _connect(engine) as connection:
        config = _config()
        config.attributes |= _facts(connection) | {"connection": connection}
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS tutorwatch"))
        connection.commit()
        command.upgrade(config, revision)


_CUT_OFF_SERVICES = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid
WHERE datname = current_database() AND application_name IN ('tutorwatch-listen', 'tutorwatch-web-listen')
  AND pg_has_role(usesysid, 'USAGE') AND (NOT rolsuper OR current_setting('is_superuser') = 'on');
"""
"""Of what a service has in the database only the connection it hears on: what it is about to commit, it commits."""


_OLDER_SERVICES = """
    SELECT DISTINCT format('%s as role %s', application_name, usename)
        || CASE WHEN client_addr IS NOT NULL THEN ' from ' || host(client_addr)
                WHEN client_port = -1 THEN ' from this host' ELSE '' END
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND application_name IN ('tutorwatch-listen', 'tutorwatch-worker', 'tutorwatch-web', 'tutorwatch-web-listen')
    ORDER BY 1
"""
"""From where, and since when, is hidden from an owner who isn't a member of the services' roles. Newer services don't
stay: at this revision they refuse to start."""


def _end_older_services(connection: psycopg.Connection) -> None:
    """Has every service connect again, where our role may: it finds a schema that isn't its own any more, and ends.

    Waits until all have ended; raises SchemaError with their names if they don't, or our role may not end them.
    """
    found = connection.execute(_CUT_OFF_SERVICES.encode()).fetchone()
    if found and found[0]:
        logger.info("Services of the version before were told to end: %d; start the new ones afterwards", found[0])
    give_up_at = time.monotonic() + OLD_SERVICES_SECONDS
    is_told = False
    while names := [name for (name,) in connection.execute(_OLDER_SERVICES.encode())]:
        if time.monotonic() >= give_up_at:
            raise SchemaError(
                f"Services of the version before are still running: {', '.join(names)}. Stop them, then run"
                " `tutorwatch migrate` again: it goes on from here"
            )
        if not is_told:
            logger.info("Waiting for services of the version before to end: %s", ", ".join(names))
            is_told = True
        time.sleep(0.2)


def _refuse_lost_tables(connection: psycopg.Connection, *, before: str | None) -> None:
    if before != head_revision():
        return
    lost = [each.name for each in find_damage(connection) if each.kind is Kind.TABLE]
    if lost:
        raise SchemaError(
            f"Tables of schema tutorwatch are gone: {', '.join(lost)}. Restore them from a backup, or start anew with "
            "`tutorwatch uninstall` and `tutorwatch migrate`: alerts and insights stay, evidence and accounts don't"
        )


def _facts(connection: Connection) -> dict[str, Any]:
    """What revisions need to know and, written as a script, can't ask the database for."""
    return {"database_is_empty": deployed_schema.is_empty(connection)}


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _engine(database_url: str) -> Engine:
    return sync_engine(lambda: _open(database_url))


def _open(database_url: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Raises PooledError where a pooler is between: locks and settings must last from one transaction to the next."""
    settings = UNHURRIED | {"lock_timeout": LOCK_WAIT}
    connection = connect(database_url, application_name=APPLICATION_NAME, settings=settings)
    connection.autocommit = autocommit
    return connection


@contextmanager
def _connect(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


@contextmanager
def _only_migration(engine: Engine) -> Iterator[None]:
    """Holds the migration lock, on a connection of its own.

    Asks again and again instead of waiting in the database: a waiting statement holds a snapshot, and a
    concurrent index build waits for all older snapshots, so that the two would wait for each other.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        waiting = False
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
            if not waiting:
                driver_connection = cast("psycopg.Connection", connection.connection.driver_connection)
                whose = "; ".join(map(str, holders(driver_connection, LOCK_KEY)))
                logger.info("Waiting for whoever has the lock of a migration of this database (%s)", whose)
                waiting = True
            time.sleep(0.2)
        yield


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('tutorwatch.alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM tutorwatch.alembic_version"))
    return revision


def _pending(current: str | None) -> list[tuple[str, str]]:
    revisions = ScriptDirectory.from_config(_config()).walk_revisions(base=current or "base", head="head")
    return [(r.revision, r.doc) for r in reversed(list(revisions)) if r.revision != current]


def _refuse_problems(connection: Connection) -> None:
    _refuse_newer(connection)
    problems = deployed_schema.find_problems(connection)
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        raise SchemaError(
            f"This database is not the platform's as Tutorwatch knows it; nothing was changed:\n{listing}"
        )


def _refuse_stranger(connection: psycopg.Connection) -> None:
    missing = find_missing_rights(connection)
    if missing:
        listing = "\n".join(f"  - {each}" for each in missing)
        raise SchemaError(f"This role may not migrate (see docs/rights.md); nothing was changed:\n{listing}")


def _refuse_newer(connection: Connection) -> None:
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"The database's schema ({revision}) is newer than this program ({head_revision()}): "
            "install the program's newer version"
        )
