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
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_delay, wait_random_exponential

from migrations import deployed_schema, repair
from migrations.indexes import LOCK_WAIT, find_invalid
from migrations.installed import Kind, find_damage
from migrations.partitions import find_partitions

logger = logging.getLogger(__name__)

LOCK_KEY = 7_310_118_241
"""Advisory lock of the one migration that may run in a database at a time (an arbitrary number)."""

PATIENCE_SECONDS = 300.0
"""How long a busy table is tried again before migrating gives up."""


POOLED = (
    "A pooler is between this program and the database, and a migration needs a session of its own: "
    "set TUTORWATCH_LISTEN_URL to a URL that leads past it"
)


class SchemaError(Exception):
    """The database can't be migrated as it is; the message says why and what to do."""


@dataclass(frozen=True)
class Migrated:
    """What a migration did: revisions before and after (None: none yet), the duplicates it settled, what it mended."""

    before: str | None
    after: str
    settled_alerts: int
    settled_insights: int
    mended: tuple[str, ...] = ()


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


def check(database_url: str) -> list[str]:
    """What `migrate` would still have to do, or what keeps it from it, a line each; empty if nothing."""
    with _connect(_engine(database_url)) as connection:
        _refuse_newer(connection)
        problems = deployed_schema.find_problems(connection)
        pending = _pending(_revision(connection))
    problems += [f"revision {revision} ({subject}) is not applied" for revision, subject in pending]
    return problems or damage(database_url)


def damage(database_url: str) -> list[str]:
    """What isn't as the newest revision left it, a line each. Of a database at that revision."""
    with _open(database_url, autocommit=True) as connection:
        return [str(each) for each in find_damage(connection)]


def to_sql(database_url: str, *, automation: bool) -> str:
    """The statements `migrate` would run on this database, as a script for psql, empty if none; changes nothing."""
    script = io.StringIO()
    with _connect(_engine(database_url)) as connection:
        _refuse_problems(connection)
        config = _config(output=script)
        before = _revision(connection)
        config.attributes |= _facts(connection, before=before, automation=automation)
    if before == head_revision():
        return _repair_script(database_url, automation=automation)
    script.write(f"\\set ON_ERROR_STOP on\nSET lock_timeout = '{LOCK_WAIT}';\n")
    if before is None:
        script.write("CREATE SCHEMA IF NOT EXISTS tutorwatch;\n\n")
    command.upgrade(config, f"{before or 'base'}:head", sql=True)
    if before:
        script.write(_CUT_OFF_SERVICES)
    return script.getvalue()


def migrate(database_url: str, *, automation: bool = True) -> Migrated:
    """Creates or adopts the platform's tables and adds everything of ours; running it again changes nothing.

    What was there and has been dropped, replaced or broken since is mended: functions, triggers and indexes.

    A second migration of the same database waits for the first. It can be interrupted at any point and
    started again. `automation=False` creates the triggers disabled.

    Raises SchemaError for a database that isn't the platform's, or is newer than this program.
    """
    engine = _engine(database_url)
    with _only_migration(engine):
        with _connect(engine) as connection:
            _refuse_problems(connection)
            before = _revision(connection)
            started_at = connection.scalar(text("SELECT clock_timestamp()"))
            connection.commit()
        _upgrade(engine, before=before, automation=automation)
        if before not in (None, head_revision()):
            _end_older_services(database_url)
        mended = _mend(database_url, automation=automation)
        with _connect(engine) as connection:
            settled = connection.execute(
                text("SELECT kind, count(*) FROM tutorwatch.settled_duplicates WHERE settled_at >= :at GROUP BY kind"),
                {"at": started_at},
            )
            counts = {str(kind): int(count) for kind, count in settled}
    return Migrated(before, head_revision(), counts.get("alert", 0), counts.get("insight", 0), tuple(mended))


def _is_busy_table(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, psycopg.errors.LockNotAvailable)


@retry(
    retry=retry_if_exception(_is_busy_table),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    stop=stop_after_delay(PATIENCE_SECONDS),
    before_sleep=before_sleep_log(logger, logging.WARNING),
    reraise=True,
)
def _upgrade(engine: Engine, *, before: str | None, automation: bool) -> None:
    with _connect(engine) as connection:
        config = _config()
        config.attributes |= _facts(connection, before=before, automation=automation) | {"connection": connection}
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS tutorwatch"))
        connection.commit()
        command.upgrade(config, "head")


_CUT_OFF_SERVICES = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid
WHERE datname = current_database() AND application_name IN ('tutorwatch-listen', 'tutorwatch-web-listen')
  AND pg_has_role(usesysid, 'USAGE') AND (NOT rolsuper OR current_setting('is_superuser') = 'on');
"""
"""Of what a service has in the database only the connection it hears on: what it is about to commit, it commits."""


def _end_older_services(database_url: str) -> None:
    """Where our role may, has every service connect again: it finds a schema that isn't its own any more, and ends.

    Else it would go on with statements that may not fit the tables now, and with the rules as they were.
    """
    with _open(database_url, autocommit=True) as connection:
        found = connection.execute(_CUT_OFF_SERVICES).fetchone()
    if found and found[0]:
        logger.info("Services of the version before that were told to end: %d; start the new one's", found[0])


def _mend(database_url: str, *, automation: bool) -> list[str]:
    with _open(database_url, autocommit=True) as connection:
        _refuse_lost_tables(connection)
        try:
            return repair.mend(connection, automation_if_new=automation)
        except psycopg.ProgrammingError as error:  # a right that is missing, or something else of that name
            first_line, *_ = str(error).splitlines()
            raise SchemaError(f"What is damaged could not be mended ({first_line}): see `tutorwatch doctor`") from error


def _refuse_lost_tables(connection: psycopg.Connection) -> None:
    lost = [each.part.name for each in find_damage(connection) if each.part.kind is Kind.TABLE]
    if lost:
        raise SchemaError(
            f"Tables of schema tutorwatch are gone: {', '.join(lost)}. Restore them from a backup, or start anew with "
            "`tutorwatch uninstall` and `tutorwatch migrate`: alerts and insights stay, evidence and accounts don't"
        )


def _repair_script(database_url: str, *, automation: bool) -> str:
    with _open(database_url, autocommit=True) as connection:
        _refuse_lost_tables(connection)
        steps = repair.plan(connection, find_damage(connection), automation_if_new=automation)
    if not steps:
        return ""
    head = f"\\set ON_ERROR_STOP on\nSET lock_timeout = '{LOCK_WAIT}';"
    return "\n\n".join([head, *(step.as_script() for step in steps)]) + "\n"


def _facts(connection: Connection, *, before: str | None, automation: bool) -> dict[str, Any]:
    """What revisions need to know and, written as a script, can't ask the database for."""
    driver_connection = cast("psycopg.Connection", connection.connection.driver_connection)
    return {
        "database_is_empty": deployed_schema.is_empty(connection),
        "has_joined": before is not None,
        "invalid_indexes": find_invalid(connection),
        "partitions": find_partitions(driver_connection),
        "automation": automation,
    }


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _engine(database_url: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: _open(database_url), poolclass=NullPool)


def _open(database_url: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Raises SchemaError where a pooler is between: locks and settings must last from one transaction to the next."""
    theirs = conninfo_to_dict(database_url).get("options") or ""
    ours = f"-c timezone=UTC -c datestyle=ISO -c lock_timeout={LOCK_WAIT} -c statement_timeout=0"
    try:
        connection = psycopg.connect(
            database_url,
            autocommit=autocommit,
            options=f"{theirs} {ours} -c tutorwatch.direct=on",
            application_name="tutorwatch-migrate",
        )
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" in str(error):
            raise SchemaError(POOLED) from None
        raise
    found = connection.execute("SELECT current_setting('tutorwatch.direct', true)").fetchone()
    connection.rollback()
    if found != ("on",):
        connection.close()
        raise SchemaError(POOLED)
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
                logger.info("Another migration of this database is running; waiting for it to end")
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


def _refuse_newer(connection: Connection) -> None:
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"The database's schema ({revision}) is newer than this program ({head_revision()}): "
            "install the program's newer version"
        )
