"""Brings a database to the schema this program needs: `migrate`, and what belongs to it."""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_delay, wait_random_exponential

from database.connections import sync_engine
from database.errors import first_line
from database.platform import NO_RULES, RuleNames, read_comparison, read_hidden_rows
from database.recording import REEVALUATE_ALL, STATEMENT_TRIGGERS, SWITCH_OFF
from database.retries import RETRY_ALL
from migrations import deployed_schema, repair, rights
from migrations.automation import reevaluate_all
from migrations.indexes import Step
from migrations.installed import Damage, Kind, find_damage
from migrations.locks import PATIENCE_SECONDS
from migrations.manifest import HISTORY
from migrations.needs import estimate_index_bytes, find_missing_rights
from migrations.old_services import CUT_OFF_SERVICES, ServicesStillRunError, end_older_services
from migrations.session import APPLICATION_NAME, OWN_TABLES_LOCK_WAIT, only_migration, open_session
from migrations.waiting import telling_whom_we_wait_for

logger = logging.getLogger(__name__)

BESIDE_OLD_SERVICES = "0018"
"""Up to this revision services of revision 0017 go on undisturbed; before the next one they must have ended."""


class SchemaError(Exception):
    """The database can't be migrated as it is; the message says why and what to do."""


@dataclass(frozen=True)
class Migrated:
    """The result of a migration: revisions before and after (None: none yet), and what it repaired."""

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


@dataclass(frozen=True)
class Preview:
    """The work that `migrate` would do."""

    problems: tuple[str, ...]
    """What keeps it from doing it, a line each."""
    pending: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is worth knowing, and keeps nobody from anything."""


def preview(database_url: str, rules: RuleNames = NO_RULES) -> Preview:
    """Return what `migrate` would still have to do, what keeps it from it, and which of the rules are off.

    Reads the catalogs only.
    """
    with open_session(database_url) as session:
        _refuse_newer(session)
        problems = deployed_schema.find_problems(session)
        notes: list[str] = []
        if not problems and not deployed_schema.is_empty(session):
            comparison = read_comparison(session, rules)
            notes = [*map(str, comparison.missing_features), *map(str, comparison.missing_labels)]
        notes += [line for line in map(str, read_hidden_rows(session)) if line not in problems]
        pending = [
            f"revision {revision} ({subject}) is not applied" for revision, subject in _pending(_revision(session))
        ]
        if not problems and not pending:
            pending = [str(each) for each in find_damage(session)]
        if pending:
            problems += find_missing_rights(session)
            index_bytes = estimate_index_bytes(session)
            if index_bytes > WORTH_TELLING_BYTES:
                notes.append(f"the indexes to be built take about {_shown_size(index_bytes)} of disk")
    return Preview(tuple(problems), tuple(pending), tuple(notes))


WORTH_TELLING_BYTES = 1_000_000


def _shown_size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


def to_sql(database_url: str, *, automation: bool) -> str:
    """The statements `migrate` would run on this database, as a script for psql, empty if none; changes nothing."""
    with open_session(database_url) as session:
        _refuse_problems(session)
        before = _revision(session)
        _refuse_lost_tables(session, before=before)
        is_empty = deployed_schema.is_empty(session)
        damage, steps = repair.plan(session)
        turns_off = before in (None, "0017") and not (automation and _was_on(session, before=before))
    if before == head_revision() and not steps:
        return ""
    early, late = _parted(steps)
    parts = [
        "\\set ON_ERROR_STOP on\nSET client_min_messages = warning;",
        f"SET lock_timeout = '{OWN_TABLES_LOCK_WAIT}';",
    ]
    if before != head_revision():
        parts += ["CREATE SCHEMA IF NOT EXISTS tutorwatch;"] if before is None else []
        if before in (None, "0017"):
            parts.append(_revisions_as_sql(f"{before or 'base'}:{BESIDE_OLD_SERVICES}", is_empty=is_empty))
            parts += [f"{SWITCH_OFF};"] if turns_off else []
    parts += [step.as_script() for step in early]
    if before != head_revision():
        if before is not None:
            parts.append(f"{CUT_OFF_SERVICES}-- Go on when the services of the version before have ended.")
        parts.append(f"SET lock_timeout = '{OWN_TABLES_LOCK_WAIT}';")
        after = BESIDE_OLD_SERVICES if before in (None, "0017") else before
        parts.append(_revisions_as_sql(f"{after}:head", is_empty=is_empty))
    parts += [step.as_script() for step in late]
    if before is not None and any(each.may_have_hidden_changes for each in damage):
        parts.append(f"{REEVALUATE_ALL.strip()};")
    return "\n\n".join(parts) + "\n"


def _parted(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """The steps that can be taken before the newest revision, and those after it: removals, and what needs it."""
    late = [step for step in steps if step.is_removal or step.table == HISTORY]
    return [step for step in steps if step not in late], late


def _revisions_as_sql(revisions: str, *, is_empty: bool) -> str:
    script = io.StringIO()
    config = _config(is_empty=is_empty, output=script)
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
    with (
        telling_whom_we_wait_for(database_url, APPLICATION_NAME),
        only_migration(database_url),
        open_session(database_url) as session,
    ):
        _refuse_problems(session)
        before = _revision(session)
        _refuse_stranger(session)
        repaired: list[Damage] = []
        if before != head_revision():
            repaired += _upgrade_all(database_url, session, before=before, automation=automation)
        _refuse_lost_tables(session, before=head_revision())
        try:
            repaired += repair.repair(session)
        except psycopg.ProgrammingError as error:  # a right that is missing, or something else of that name
            raise SchemaError(f"The damage can't be repaired ({first_line(error)}): see `tutorwatch doctor`") from error
        if repaired or before != head_revision():
            _give_rights_again(session)
        freed = _catch_up(session, repaired) if before is not None and (repaired or before != head_revision()) else 0
    shown = () if before != head_revision() else tuple(str(each) for each in repaired)
    return Migrated(before, head_revision(), shown, freed)


def _upgrade_all(
    database_url: str, session: psycopg.Connection, *, before: str | None, automation: bool
) -> list[Damage]:
    """Runs all revisions, and what they need; returns what was installed."""
    installed: list[Damage] = []
    is_empty = deployed_schema.is_empty(session)
    if before in (None, "0017", BESIDE_OLD_SERVICES):
        turns_off = before != BESIDE_OLD_SERVICES and not (automation and _was_on(session, before=before))
        _upgrade(database_url, BESIDE_OLD_SERVICES, is_empty=is_empty)
        if turns_off:
            session.execute(SWITCH_OFF.encode())
        installed = repair.repair(session, with_removals=False)
    if before is not None:
        try:
            end_older_services(session)
        except ServicesStillRunError as error:
            raise SchemaError(str(error)) from None
    _upgrade(database_url, "head", is_empty=is_empty)
    return installed


def _was_on(connection: psycopg.Connection, *, before: str | None) -> bool:
    """Return whether changes are recorded at revision 0017, where the switch was the triggers' own state."""
    if before is None:
        return True
    found = connection.execute(
        "SELECT count(*) = 0 OR bool_or(tgenabled IN ('O', 'A')) FROM pg_trigger"
        " WHERE tgname = ANY(%s) AND tgrelid = to_regclass('public.sessions')",
        [list(STATEMENT_TRIGGERS)],
    ).fetchone()
    return bool(found and found[0])


def _catch_up(connection: psycopg.Connection, repaired: list[Damage]) -> int:
    """Have everything evaluated that may have been missed; return how many failing tutors are tried again."""
    if any(each.may_have_hidden_changes for each in repaired):
        reevaluate_all(connection)
    return connection.execute(RETRY_ALL.encode()).rowcount


def _give_rights_again(connection: psycopg.Connection) -> None:
    """Gives the services' roles their rights to new tables and functions, which are nobody's until then."""
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
def _upgrade(database_url: str, revision: str, *, is_empty: bool) -> None:
    def open_transactions() -> psycopg.Connection:
        session = open_session(database_url)
        session.autocommit = False
        return session

    with sync_engine(open_transactions).connect() as connection:
        config = _config(is_empty=is_empty)
        config.attributes["connection"] = connection
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS tutorwatch"))
        connection.commit()
        command.upgrade(config, revision)


def _refuse_lost_tables(connection: psycopg.Connection, *, before: str | None) -> None:
    if before != head_revision():
        return
    lost = [each.name for each in find_damage(connection) if each.kind is Kind.TABLE]
    if lost:
        raise SchemaError(
            f"Tables of schema tutorwatch are gone: {', '.join(lost)}. Restore them from a backup, or start anew with "
            "`tutorwatch uninstall` and `tutorwatch migrate`: alerts and insights stay, evidence and accounts don't"
        )


def _config(*, is_empty: bool = False, output: io.StringIO | None = None) -> Config:
    """`is_empty` is what the first revision must know of the database and, written as a script, can't ask it."""
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database_is_empty"] = is_empty
    return config


def _revision(session: psycopg.Connection) -> str | None:
    if session.execute("SELECT to_regclass('tutorwatch.alembic_version')").fetchone() == (None,):
        return None
    row = session.execute("SELECT version_num FROM tutorwatch.alembic_version").fetchone()
    return row[0] if row else None


def _pending(current: str | None) -> list[tuple[str, str]]:
    revisions = ScriptDirectory.from_config(_config()).walk_revisions(base=current or "base", head="head")
    return [(r.revision, r.doc) for r in reversed(list(revisions)) if r.revision != current]


def _refuse_problems(session: psycopg.Connection) -> None:
    _refuse_newer(session)
    problems = deployed_schema.find_problems(session)
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


def _refuse_newer(session: psycopg.Connection) -> None:
    revision = _revision(session)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"The database's schema ({revision}) is newer than this program ({head_revision()}): "
            "install the program's newer version"
        )
