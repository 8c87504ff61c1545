"""The condition of the system: what can't be evaluated right now, why, and since when.

`/readyz`, `/metrics`, `tutorwatch status`, `/system` and the bar on every page all show this, and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from database.canary import IS_CHANGE, NEVER_TRIED, Canary, Part, load_canary
from database.liveness import IS_FRESH
from database.platform import (
    NO_RULES,
    NOTHING_MISSING,
    READ_SCHEMA,
    Comparison,
    HiddenRows,
    Missing,
    RuleNames,
    compare,
    find_hidden_rows,
)
from database.recording import BROKEN_TRIGGERS, OFF_SINCE, Automation, automation_of
from database.schema_version import explain_revision
from database.sql_files import read_sql


class Check(StrEnum):
    """The checks, in the order in which their problems are shown."""

    SCHEMA = "schema"
    """Our own schema is at this program's revision."""
    PLATFORM = "platform"
    """The platform's tables are as the rules, pages and triggers need them."""
    ROWS = "rows"
    """No row-level security hides rows from the services."""
    RECORDING = "recording"
    """Changes are recorded: the switch is on, and every trigger and function is in place."""
    LISTENERS = "listeners"
    """A listener is alive, and evaluates."""
    CANARY = "canary"
    """Test changes are recorded, and answered by a listener."""
    WAITING = "waiting"
    """No change has been waiting for longer than a minute."""
    DEAD_LETTERED = "dead_lettered"
    """No tutor has been given up on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that isn't evaluated."""

    check: Check
    message: str
    """One sentence, without a full stop: what is wrong; what to do about it follows a colon."""
    since: datetime | None = None
    """None where it isn't known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of the system. No problems: everything is evaluated."""

    problems: tuple[Problem, ...]
    listeners: int
    """Alive ones."""
    waiting: int
    """Changes in the outbox."""
    oldest_waiting_at: datetime | None
    failing: int
    """Tutors whose generation will be tried again."""
    dead_lettered: int
    swept_at: datetime | None
    """When all tutors were last re-evaluated."""
    canary: Canary = NEVER_TRIED
    """What came of the latest test changes."""
    automation: Automation = Automation.MISSING
    """Whether changes are recorded."""
    missing: Missing = NOTHING_MISSING
    """What of the platform's that only some page needs isn't there, or may not be read by our own role: no problem."""

    @property
    def is_well(self) -> bool:
        """Return whether pages may say that all is well."""
        return not self.problems


LONGEST_WAIT = timedelta(seconds=60)
"""A change that waits for longer than this isn't evaluated in time."""

_READ_CATALOGS = read_sql("database.sql", "condition_catalogs", schema=READ_SCHEMA, broken_triggers=BROKEN_TRIGGERS)
_READ_OWN_TABLES = read_sql("database.sql", "condition", is_change=IS_CHANGE, is_fresh=IS_FRESH, off_since=OFF_SINCE)


async def load_condition(conn: AsyncConnection, rules: RuleNames = NO_RULES) -> Condition:
    """Return the condition by the database's clock, and which of these rules are off.

    Four statements, which the roles of both services may run.

    Raises what the driver raises where the database can't be reached.
    """
    plainly = {"no_parameters": True}
    catalogs = (await conn.exec_driver_sql(_READ_CATALOGS, execution_options=plainly)).one()
    comparison, missing = compare(catalogs.schema), compare(catalogs.schema, rules, by_rights=True).missing
    if catalogs.lost:
        return _unreadable(_explain_lost(catalogs.lost), missing)
    own = (await conn.exec_driver_sql(_READ_OWN_TABLES, execution_options=plainly)).one()
    if outdated := explain_revision(own.revision):
        return _unreadable(outdated, missing)
    canary = await load_canary(conn)
    alive = [each for each in own.listeners if each["is_alive"]]
    problems = (
        *_platform_problems(comparison, alive),
        *[Problem(Check.ROWS, _sentence(each), _blocked_since(alive)) for each in await find_hidden_rows(conn)],
        *_recording_problems(own.off_since, catalogs.broken_triggers),
    )
    problems += tuple(_listener_problems(own, alive, problems))
    problems += tuple(_canary_problems(canary, own.oldest_waiting_at, problems))
    return Condition(
        problems=(*problems, *_work_problems(own)),
        listeners=len(alive),
        waiting=own.waiting,
        oldest_waiting_at=own.oldest_waiting_at,
        failing=own.failing,
        dead_lettered=own.dead_lettered,
        swept_at=own.swept_at,
        canary=canary,
        automation=automation_of(own.off_since, is_all_recorded=not catalogs.broken_triggers),
        missing=missing,
    )


def _unreadable(message: str, missing: Missing) -> Condition:
    """Return what is left to say where our own schema isn't this program's."""
    return Condition((Problem(Check.SCHEMA, message),), 0, 0, None, 0, 0, None, missing=missing)


def _explain_lost(lost: list[str]) -> str:
    if "alembic_version" in lost:
        return explain_revision(None)
    return f"Tables of schema tutorwatch are gone ({', '.join(lost)}): restore them from a backup"


def _platform_problems(comparison: Comparison, alive: list[Mapping[str, Any]]) -> Iterator[Problem]:
    if comparison.differences:
        yield Problem(Check.PLATFORM, explain_differences(comparison), _blocked_since(alive))


def _sentence(hidden: HiddenRows) -> str:
    words = str(hidden)
    return words[0].upper() + words[1:]


def explain_differences(comparison: Comparison) -> str:
    """Return a sentence that names the differences that keep Tutorwatch from working."""
    differences = "; ".join(map(str, comparison.differences))
    return f"The platform's schema doesn't fit ({differences}): change it back, or install a version that knows it"


def _blocked_since(alive: list[Mapping[str, Any]]) -> datetime | None:
    """Return when the first of the listeners found out that it can't evaluate."""
    return min((datetime.fromisoformat(each["blocked"]["since"]) for each in alive if each["blocked"]), default=None)


def _recording_problems(off_since: datetime | None, broken: list[str]) -> Iterator[Problem]:
    if off_since:
        message = "Changes are not recorded, because automation is off: run `tutorwatch automation on`"
        yield Problem(Check.RECORDING, message, off_since)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        message = f"Changes go unrecorded, because {broken[0]}{more}: run `tutorwatch migrate`"
        yield Problem(Check.RECORDING, message)


def _listener_problems(
    own: Row[Any], alive: list[Mapping[str, Any]], explained: tuple[Problem, ...]
) -> Iterator[Problem]:
    if not alive:
        silent = min((each["seconds_silent"] for each in own.listeners if each["seconds_silent"] > 0), default=None)
        since = None if silent is None else own.now - timedelta(seconds=silent)
        yield Problem(Check.LISTENERS, "No listener is alive: start `tutorwatch listen`", since)
        return
    blocked = [each["blocked"] for each in alive if each["blocked"]]
    is_explained = any(problem.check in (Check.PLATFORM, Check.ROWS) for problem in explained)
    if len(blocked) == len(alive) and not is_explained:
        yield Problem(Check.LISTENERS, str(blocked[0]["message"]), _blocked_since(alive))


def _canary_problems(
    canary: Canary, oldest_waiting_at: datetime | None, explained: tuple[Problem, ...]
) -> Iterator[Problem]:
    """Yield what only test changes have shown, unless a problem found before explains it."""
    known = {problem.check for problem in explained}
    if canary.is_ok(Part.RECORDING) is False and not known & {Check.PLATFORM, Check.RECORDING}:
        message = f"A test change was not recorded ({canary.problem}): run `tutorwatch doctor`"
        yield Problem(Check.CANARY, message, canary.unrecorded_since)
    since = canary.unanswered_since
    is_behind_others = bool(since and oldest_waiting_at and oldest_waiting_at < since)
    explains = {Check.PLATFORM, Check.ROWS, Check.LISTENERS}
    if canary.is_overdue and not is_behind_others and not known & explains:
        yield Problem(Check.CANARY, "A test change was not answered: look into a listener's log", since)


def _work_problems(own: Row[Any]) -> Iterator[Problem]:
    if own.oldest_waiting_at and own.now - own.oldest_waiting_at > LONGEST_WAIT:
        yield Problem(
            Check.WAITING, "Changes are waiting to be evaluated: look into a listener's log", own.oldest_waiting_at
        )
    if own.dead_lettered:
        tutors = "1 tutor is" if own.dead_lettered == 1 else f"{own.dead_lettered} tutors are"
        yield Problem(
            Check.DEAD_LETTERED,
            f"{tutors} not evaluated any more, after too many attempts failed: see `tutorwatch failures`,"
            " then run `tutorwatch retry`",
            own.dead_lettered_since,
        )
