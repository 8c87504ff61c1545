"""The summary of critical alerts: how many there are, and the tutors who come first."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, and_, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import NOTHING_MISSING, Missing
from database.tables import alerts
from rules.life import is_unattended
from web.auth.identity import Viewer
from web.queries.alerts.rows import AlertRow, rank, select_alerts, to_alert
from web.queries.expressions import at_most
from web.queries.texts import WholeTexts, whole_texts

CRITICAL_TUTORS = 5
"""How many tutors the summary of critical alerts shows (specification, "Dashboard")."""


@dataclass(frozen=True, slots=True)
class CriticalTutor:
    """A tutor with open critical alerts: how many, and the one that comes first."""

    tutor_id: str
    name: str
    alert: AlertRow
    critical_count: int

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        return whole_texts(self, "user", self.tutor_id, ("name",))


@dataclass(frozen=True, slots=True)
class CriticalSummary:
    """The critical alerts that are open as of `read_at`: all counted, some tutors shown.

    Unattended ones come first, then newer ones; those that are no longer met come last.
    """

    total: int
    unattended: int
    tutor_count: int
    tutors: tuple[CriticalTutor, ...]
    read_at: datetime


async def critical_summary(
    conn: AsyncConnection, now: datetime, *, missing: Missing = NOTHING_MISSING
) -> CriticalSummary:
    """The tutors with open critical alerts, at most five. One statement."""
    rows = list(await conn.execute(_critical_query(missing)))
    tutors = tuple(CriticalTutor(row.tutor_id, row.tutor_name, to_alert(row), row.critical_count) for row in rows)
    total, unattended, tutor_count = (rows[0].total, rows[0].unattended, rows[0].tutor_count) if rows else (0, 0, 0)
    return CriticalSummary(total, unattended, tutor_count, tutors, read_at=now)


@cache
def _critical_query(missing: Missing) -> Select[Any]:
    """Each tutor's first critical alert, of the five tutors who come first.

    Without parameters, because the server plans anew each time what has some, if their values could make the plan a
    better one: planning took longer than all else.
    """
    is_critical = and_(~alerts.c.resolved, alerts.c.severity == literal_column("'critical'"))
    ranked = (
        select(
            alerts.c.id,
            alerts.c.tutor_id,
            alerts.c.triggered_date,
            rank().label("rank"),
            cast(is_unattended(), Integer).label("is_unattended"),
        )
        .where(is_critical)
        .subquery("ranked")
    )
    first = (
        select(
            ranked,
            func.count().over(partition_by=ranked.c.tutor_id).label("critical_count"),
            func.count().over().label("total"),
            func.sum(ranked.c.is_unattended).over().label("unattended"),
        )
        .ext(distinct_on(ranked.c.tutor_id))
        .order_by(ranked.c.tutor_id, ranked.c.rank.desc(), ranked.c.triggered_date.desc(), ranked.c.id.desc())
        .subquery("first")
    )
    order = (first.c.rank.desc(), first.c.triggered_date.desc(), first.c.tutor_id)
    shown = (
        select(first, func.count().over().label("tutor_count"))
        .order_by(*order)
        .limit(at_most(CRITICAL_TUTORS))
        .subquery("shown")  # limited before anything is joined
    )
    counts = (shown.c.critical_count, shown.c.total, shown.c.unattended, shown.c.tutor_count)
    return select_alerts(Viewer.ADMIN, missing, *counts, among=shown).order_by(
        shown.c.rank.desc(), shown.c.triggered_date.desc(), shown.c.tutor_id
    )
