"""Reads the audit trail, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    String,
    case,
    literal,
    literal_column,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from database.access_tables import audit_trail
from database.tables import users
from web.auth.audit_actions import Action
from web.queries.expressions import LONGEST_LINE, at_most, cut
from web.queries.paging import Cursor, Page, read_from, read_page

DELETED = "deleted user"
"""Who somebody was whom the platform has no more; in entries themselves, once `keep_audit_trail` has seen to it."""


class AuditOutcome(StrEnum):
    """What came of what somebody did."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for. They are listed newest first: by the time, then by the id."""

    person: str | None = None
    """Who did it, or whom it concerns: a part of the name or of the e-mail address, or the id."""
    action: Action | None = None
    outcome: AuditOutcome | None = None
    first_day: date | None = None
    """Of `zone`, and so is the last one; both included."""
    last_day: date | None = None
    zone: tzinfo = UTC

    @property
    def since(self) -> datetime | None:
        """The first instant that is asked for."""
        return self._midnight(self.first_day) if self.first_day else None

    @property
    def until(self) -> datetime | None:
        """The first instant after those that are asked for."""
        if self.last_day is None or self.last_day == date.max:
            return None
        return self._midnight(self.last_day + timedelta(days=1))

    @property
    def parts(self) -> list[str | None]:
        """The filter in texts, in an order of its own."""
        days = [day.isoformat() if day else None for day in (self.first_day, self.last_day)]
        return [self.person, self.action, self.outcome, *days]

    def query(self) -> dict[str, str]:
        """The filter as parameters of a URL."""
        names = ("person", "action", "outcome", "from", "to")
        return {name: value for name, value in zip(names, self.parts, strict=True) if value}

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry, with the names of those in it: of a deleted user, DELETED; None where there is nobody."""

    id: int
    at: datetime
    action: str
    outcome: str
    reason: str | None
    actor: str | None
    actor_name: str | None
    actor_role: str | None
    actor_by: str | None
    address: str | None
    user_id: str | None
    user_name: str | None
    object: str | None
    details: str | None


AuditPosition = tuple[datetime, int]
"""When an entry was made, and its id."""
AuditCursor = Cursor[AuditPosition]
AuditPage = Page[AuditRow, AuditPosition]
"""Some entries, newest first."""


async def audit_page(
    conn: AsyncConnection, wanted: AuditFilter, cursor: AuditCursor | None = None, *, limit: int = 50
) -> AuditPage:
    """The entries that pass the filter, newest first: the first ones, or those after or before the cursor.

    One statement; two where going backwards has reached the beginning.
    """

    async def read(cursor: AuditCursor | None, most: int) -> Sequence[AuditRow]:
        return [_to_row(row) for row in await conn.execute(_page(wanted, cursor, most))]

    return await read_page(read, cursor, limit, lambda row: (row.at, row.id))


_ACTOR, _USER = users.alias("actor"), users.alias("concerned")


def _page(wanted: AuditFilter, cursor: AuditCursor | None, most: int) -> Select[Any]:
    """The entries themselves are chosen first, along an index; names are joined to those few."""
    chosen = select(audit_trail.c.id).where(*_conditions(wanted)).limit(at_most(most))
    if wanted.person:
        # One branch for each of the two columns, so that each can follow its own index.
        ids = _named(wanted.person)
        columns = (audit_trail.c.actor, audit_trail.c.user_id)
        branches = [_from(chosen.where(column.in_(ids)), cursor).subquery() for column in columns]
        chosen_ids = union_all(*(select(branch.c.id) for branch in branches)).subquery("chosen")
    else:
        chosen_ids = _from(chosen, cursor).subquery("chosen")
    query = (
        select(audit_trail, _name(_ACTOR, audit_trail.c.actor), _name(_USER, audit_trail.c.user_id))
        .select_from(
            audit_trail.outerjoin(_ACTOR, _ACTOR.c.id == audit_trail.c.actor).outerjoin(
                _USER, _USER.c.id == audit_trail.c.user_id
            )
        )
        .where(audit_trail.c.id.in_(select(chosen_ids.c.id)))
        .limit(at_most(most))
    )
    return _from(query, cursor)


def _name(of: FromClause, named: ColumnElement[Any]) -> ColumnElement[Any]:
    """The name of a user; DELETED where an entry names one whom the platform has no more."""
    name = cut(of.c.name, LONGEST_LINE)
    return case((of.c.id.is_not(None), name), (named.is_not(None), DELETED)).label(f"{named.key}_name")


def _from(query: Select[Any], cursor: AuditCursor | None) -> Select[Any]:
    return read_from(query, cursor, audit_trail.c.at, audit_trail.c.id, is_descending=True)


def _named(person: str) -> Select[Any]:
    """The ids of those who are meant; also of one whom the platform has no more."""
    is_named = or_(users.c.name.icontains(person, autoescape=True), users.c.email.icontains(person, autoescape=True))
    found = union(select(users.c.id).where(is_named), select(literal(person, String).label("id"))).subquery("named")
    return select(found.c.id)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.action:
        conditions.append(audit_trail.c.action == wanted.action.value)
    if wanted.outcome:
        # As it stands, not as a parameter: what is refused has an index of its own.
        conditions.append(audit_trail.c.outcome == literal_column(f"'{AuditOutcome(wanted.outcome)}'", String))
    if wanted.since:
        conditions.append(audit_trail.c.at >= wanted.since)
    if wanted.until:
        conditions.append(audit_trail.c.at < wanted.until)
    return conditions


def _to_row(row: Row[Any]) -> AuditRow:
    return AuditRow(
        id=row.id,
        at=row.at,
        action=row.action,
        outcome=row.outcome,
        reason=row.reason,
        actor=row.actor,
        actor_name=row.actor_name,
        actor_role=row.actor_role,
        actor_by=row.actor_by,
        address=row.address,
        user_id=row.user_id,
        user_name=row.user_id_name,
        object=row.object,
        details=row.details,
    )
