"""Reads what the dashboard shows: critical alerts, who stands out, and recent sessions."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from heapq import nsmallest
from uuid import UUID

from sqlalchemy import ARRAY, String, any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.platform import NOTHING_MISSING, Missing
from database.tables import alerts, users
from rules.measures import Ratio
from rules.tutors import every_tutor
from web.queries.alerts.critical import CriticalSummary, critical_summary
from web.queries.evidence import Evidence, evidence_of
from web.queries.expressions import count_where, shown_name
from web.queries.platform import TutorMonth
from web.queries.sessions import FLAGGED_BELOW, SessionRow, SessionsShown, recent_sessions

EVIDENCE_SESSIONS = 3
"""How many of an alert's sessions are shown."""
TOP_LEAST_SESSIONS = 5
"""Least scored sessions of a top performer (specification, "Dashboard")."""
SCOREBOARD_LENGTH = 10


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """A tutor's open alerts by severity."""

    critical: int = 0
    warning: int = 0
    info: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.critical + self.warning + self.info


NO_ALERTS = AlertCounts()


@dataclass(frozen=True, slots=True)
class Standing:
    """A tutor's line on the scoreboard; the average is None without a scored session in the window."""

    tutor_id: str
    average: Decimal | None
    session_count: int
    alerts: AlertCounts


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the averages alone say: who may be on top, best first, and who is under 6.5."""

    averages: Mapping[str, Ratio]
    best: tuple[str, ...]
    low: frozenset[str]

    def needing_attention(self, counts: Mapping[str, AlertCounts]) -> AbstractSet[str]:
        """The tutors who have open alerts, as counted, or an average under 6.5."""
        return self.low | counts.keys()

    def top(self, counts: Mapping[str, AlertCounts]) -> Sequence[str]:
        """The top performers, best first: nobody with an open alert is one."""
        return [tutor_id for tutor_id in self.best if tutor_id not in counts]


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Who stands out; the counts say how many tutors there are of either kind, shown or not."""

    top: tuple[Standing, ...]
    top_count: int
    attention: tuple[Standing, ...]
    attention_count: int


@dataclass(frozen=True, slots=True)
class DashboardData:
    """What the dashboard shows beside the platform's statistics; `as_of` says how old it is, where a replica told it.

    `board` is None where the tutors aren't ranked yet; `names` has those who are on it and still exist.
    """

    summary: CriticalSummary
    evidence: Mapping[UUID, Evidence]
    board: Scoreboard | None
    names: Mapping[str, str]
    sessions: tuple[SessionRow, ...]
    as_of: datetime | None = None


async def dashboard_data(
    conn: AsyncConnection,
    now: datetime,
    shown: SessionsShown,
    ranking: Ranking | None,
    *,
    missing: Missing = NOTHING_MISSING,
) -> DashboardData:
    """All that changes from moment to moment. Five statements; one less without a ranking."""
    summary = await critical_summary(conn, now, missing=missing)
    alert_ids = [tutor.alert.id for tutor in summary.tutors]
    board = scoreboard(ranking, await open_alert_counts(conn)) if ranking else None
    standings = (*board.top, *board.attention) if board else ()
    return DashboardData(
        summary=summary,
        evidence=await evidence_of(conn, alert_ids, sessions_each=EVIDENCE_SESSIONS, missing=missing),
        board=board,
        names=await names_of(conn, [standing.tutor_id for standing in standings], missing=missing),
        sessions=await recent_sessions(conn, now, shown, missing=missing),
    )


async def open_alert_counts(conn: AsyncConnection, tutor_ids: Sequence[str] | None = None) -> Mapping[str, AlertCounts]:
    """How many open alerts tutors have; tutors without any are absent. Of all tutors, or of these.

    Alerts of people who aren't tutors any more count for nobody.
    """
    query = select(
        alerts.c.tutor_id,
        *(count_where(alerts.c.severity == severity).label(severity) for severity in ("critical", "warning", "info")),
    ).where(~alerts.c.resolved, alerts.c.tutor_id.in_(every_tutor()))
    if tutor_ids is not None:
        query = query.where(alerts.c.tutor_id == any_(literal(list(tutor_ids), ARRAY(String))))
    rows = await conn.execute(query.group_by(alerts.c.tutor_id))
    return {row.tutor_id: AlertCounts(row.critical, row.warning, row.info) for row in rows}


async def critical_count(conn: AsyncConnection) -> int:
    """How many critical alerts are open."""
    query = select(func.count()).select_from(alerts).where(~alerts.c.resolved, alerts.c.severity == "critical")
    return await conn.scalar(query) or 0


async def names_of(
    conn: AsyncConnection, user_ids: Sequence[str], *, missing: Missing = NOTHING_MISSING
) -> Mapping[str, str]:
    """The names of these users, by id."""
    query = select(users.c.id, shown_name(users, missing).label("name")).where(
        users.c.id == any_(literal(list(user_ids), ARRAY(String)))
    )
    return {row.id: row.name for row in await conn.execute(query)}


def rank(months: Mapping[str, TutorMonth]) -> Ranking:
    """Ranks the tutors by their averages: who may be a top performer (nobody under 6.5), and all who are under 6.5."""
    averages = {tutor_id: month.score for tutor_id, month in months.items() if month.score.count}
    best = sorted(
        (-average.total / average.count, -average.count, tutor_id)
        for tutor_id, average in averages.items()
        if average.count >= TOP_LEAST_SESSIONS and not average.below(FLAGGED_BELOW)
    )
    low = frozenset(tutor_id for tutor_id, average in averages.items() if average.below(FLAGGED_BELOW))
    return Ranking(averages, tuple(tutor_id for _, _, tutor_id in best), low)


def scoreboard(ranking: Ranking, counts: Mapping[str, AlertCounts]) -> Scoreboard:
    """The best averages of those without an open alert, and who has open alerts or an average under 6.5.

    Those who need attention come with critical alerts first, then the lowest score, then those without one.
    """
    top, needing = ranking.top(counts), ranking.needing_attention(counts)

    def order(tutor_id: str) -> tuple[bool, bool, Decimal, str]:
        average = ranking.averages.get(tutor_id)
        value = average.total / average.count if average else Decimal(0)
        return (counts.get(tutor_id, NO_ALERTS).critical == 0, average is None, value, tutor_id)

    return Scoreboard(
        top=tuple(_standing(tutor_id, ranking, counts) for tutor_id in top[:SCOREBOARD_LENGTH]),
        top_count=len(top),
        attention=tuple(
            _standing(tutor_id, ranking, counts) for tutor_id in nsmallest(SCOREBOARD_LENGTH, needing, key=order)
        ),
        attention_count=len(needing),
    )


def _standing(tutor_id: str, ranking: Ranking, counts: Mapping[str, AlertCounts]) -> Standing:
    average = ranking.averages.get(tutor_id)
    return Standing(
        tutor_id=tutor_id,
        average=average.total / average.count if average else None,
        session_count=average.count if average else 0,
        alerts=counts.get(tutor_id, NO_ALERTS),
    )
