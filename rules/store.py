"""Writes what the rules found: a few statements for a whole batch, and nothing for what stays the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Numeric,
    Select,
    TableValuedAlias,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    exists,
    false,
    func,
    literal_column,
    null,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import (
    ALERT_SEVERITY,
    ALERT_TYPE,
    INSIGHT_CATEGORY,
    INSIGHT_TYPE,
    NaiveUtc,
    alert_evidence,
    alerts,
    tutor_insights,
)
from rules.decisions.alerts import (
    OUR_ALERT_TYPES,
    SEVERITIES,
    AlertDecision,
    AlertFinding,
    AlertType,
    Severity,
    Verdict,
)
from rules.decisions.insights import Insight, InsightCategory, InsightKind
from rules.decisions.statistics import TutorStatistics
from rules.evidence import SessionsByFinding


@dataclass(frozen=True, slots=True)
class OpenedAlert:
    """An alert that a generation opened."""

    tutor_id: str
    alert_type: AlertType
    severity: Severity
    description: str


@dataclass(frozen=True, slots=True)
class FoundInsight:
    """An insight that a generation found anew."""

    tutor_id: str
    category: InsightCategory
    kind: InsightKind
    text: str


@dataclass(frozen=True, slots=True)
class FadedInsight:
    """An insight that no longer holds."""

    tutor_id: str
    category: InsightCategory


NOW: ColumnElement[datetime] = bindparam("now", type_=NaiveUtc)


async def store_alerts(
    conn: AsyncConnection,
    decisions: Sequence[tuple[TutorStatistics, AlertDecision]],
    sessions_behind: SessionsByFinding,
    now: datetime,
) -> list[OpenedAlert]:
    """Refreshes the alerts that are open, opens those that may, and returns the latter.

    A person may resolve an alert between our reading and our writing. So the open ones are locked first: one
    that is being resolved keeps the evidence it is resolved with. And nothing is opened for a tutor who has
    more resolved alerts than were taken into account: the resolution is on record in the outbox, and the
    next generation knows of it.
    """
    rows = [
        (tutor, decision, _alert_row(tutor, decision, decision.finding, sessions_behind))
        for tutor, decision in decisions
        if decision.finding
    ]
    still_open = await _refresh(conn, [row for tutor, _, row in rows if tutor.open_alerts])
    may_open = [
        row
        for tutor, decision, row in rows
        if decision.verdict is Verdict.HOLDS and (tutor.tutor_id, decision.alert_type) not in still_open
    ]
    return await _open(conn, may_open, now)


async def _refresh(conn: AsyncConnection, findings: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Returns the tutor and the type of those that are open, and now stay so until the transaction ends."""
    if not findings:
        return set()
    values = {"findings": findings, "tutor_ids": sorted({finding["tutor_id"] for finding in findings})}
    still_open = await conn.execute(_refresh_alerts(), values)
    return {(alert.tutor_id, alert.alert_type) for alert in still_open}


async def _open(conn: AsyncConnection, findings: list[dict[str, Any]], now: datetime) -> list[OpenedAlert]:
    if not findings:
        return []
    opened = await conn.execute(_open_alerts(), {"findings": findings, "now": now})
    return [
        OpenedAlert(row.tutor_id, AlertType(row.alert_type), Severity(row.severity), row.description) for row in opened
    ]


async def store_insights(
    conn: AsyncConnection,
    tutor_ids: Sequence[str],
    insights: Sequence[tuple[str, Insight]],
    samples: SessionsByFinding,
    now: datetime,
) -> tuple[list[FoundInsight], list[FadedInsight]]:
    """Writes the insights that hold for these tutors; those of theirs that don't become inactive."""
    rows = [_insight_row(tutor_id, found, samples.get((tutor_id, found.category), [])) for tutor_id, found in insights]
    values = {"insights": rows, "tutor_ids": list(tutor_ids), "now": now}
    found_insights: list[FoundInsight] = []
    faded_insights: list[FadedInsight] = []
    for tutor_id, category, kind, words in await conn.execute(_write_insights(), values):
        if kind is None:
            faded_insights.append(FadedInsight(tutor_id, InsightCategory(category)))
        else:
            found_insights.append(FoundInsight(tutor_id, InsightCategory(category), InsightKind(kind), words))
    return found_insights, faded_insights


def _alert_row(
    tutor: TutorStatistics, decision: AlertDecision, finding: AlertFinding, sessions_behind: SessionsByFinding
) -> dict[str, Any]:
    session_ids = sessions_behind.get((tutor.tutor_id, decision.alert_type), [])
    return {
        "tutor_id": tutor.tutor_id,
        "alert_type": decision.alert_type,
        "severity": SEVERITIES[decision.alert_type],
        "title": finding.title,
        "description": finding.description,
        "value": str(finding.value),
        "threshold": str(finding.threshold),
        "session_ids": [str(session_id) for session_id in session_ids],
        "resolved_alerts": tutor.resolved_alerts,
    }


def _insight_row(tutor_id: str, insight: Insight, session_ids: list[UUID]) -> dict[str, Any]:
    return {
        "tutor_id": tutor_id,
        "category": insight.category,
        "insight_type": insight.kind,
        "display_text": insight.text,
        "metric_value": str(insight.value),
        "sample_sessions": [str(session_id) for session_id in session_ids],
    }


def _findings() -> TableValuedAlias:
    return (
        func.json_to_recordset(bindparam("findings", type_=JSON))
        .table_valued(
            column("tutor_id", Text),
            column("alert_type", ALERT_TYPE),
            column("severity", ALERT_SEVERITY),
            column("title", Text),
            column("description", Text),
            column("value", Numeric),
            column("threshold", Numeric),
            column("session_ids", ARRAY(Uuid)),
            column("resolved_alerts", BigInteger),
        )
        .render_derived(name="finding", with_types=True)
    )


def _insights() -> TableValuedAlias:
    return (
        func.json_to_recordset(bindparam("insights", type_=JSON))
        .table_valued(
            column("tutor_id", Text),
            column("category", INSIGHT_CATEGORY),
            column("insight_type", INSIGHT_TYPE),
            column("display_text", Text),
            column("metric_value", Numeric),
            column("sample_sessions", ARRAY(Uuid)),
        )
        .render_derived(name="insight", with_types=True)
    )


def _named_session(finding: TableValuedAlias) -> ColumnElement[UUID | None]:
    """Only poor_first_session names a session: the latest."""
    names_one = finding.c.alert_type == AlertType.POOR_FIRST_SESSION.value
    return case((names_one, finding.c.session_ids[1]), else_=null())


def _is_open_type() -> ColumnElement[bool]:
    """The predicate of the unique index over open alerts: with literals, or neither ON CONFLICT nor a plan finds it."""
    types = [literal_column(f"'{alert_type.value}'", ALERT_TYPE) for alert_type in OUR_ALERT_TYPES]
    return and_(~alerts.c.resolved, alerts.c.alert_type.in_(types))


@cache
def _open_alerts() -> Select[Any]:
    """Opens alerts with their evidence; one that is open already stays as it is."""
    finding = _findings()
    new = {
        "tutor_id": finding.c.tutor_id,
        "alert_type": finding.c.alert_type,
        "severity": finding.c.severity,
        "title": finding.c.title,
        "description": finding.c.description,
        "triggered_date": NOW,
        "created_at": NOW,
        "session_id": _named_session(finding),
        "acknowledged": false(),
        "resolved": false(),
    }
    resolved_by_now = (
        select(func.count())
        .where(alerts.c.tutor_id == finding.c.tutor_id, alerts.c.alert_type.in_(OUR_ALERT_TYPES), alerts.c.resolved)
        .scalar_subquery()
    )
    opened = (
        insert(alerts)
        .from_select(list(new), select(*new.values()).where(resolved_by_now == finding.c.resolved_alerts))
        .on_conflict_do_nothing(index_elements=["tutor_id", "alert_type"], index_where=_is_open_type())
        .returning(alerts.c.id, alerts.c.tutor_id, alerts.c.alert_type, alerts.c.severity, alerts.c.description)
    ).cte("opened")
    why = _findings()
    same_alert = and_(why.c.tutor_id == opened.c.tutor_id, why.c.alert_type == opened.c.alert_type)
    evidence = (
        insert(alert_evidence)
        .from_select(_EVIDENCE, _evidence(opened.c.id, why).select_from(opened.join(why, same_alert)))
        .cte("evidence")
    )
    return select(opened.c.tutor_id, opened.c.alert_type, opened.c.severity, opened.c.description).add_cte(evidence)


_EVIDENCE = ["alert_id", "tutor_id", "value", "threshold", "session_ids", "counted_session_ids", "refreshed_at"]


def _evidence(alert_id: ColumnElement[UUID], finding: FromClause) -> Select[Any]:
    """A finding as a row of `alert_evidence`."""
    return select(
        alert_id,
        finding.c.tutor_id,
        finding.c.value,
        finding.c.threshold,
        finding.c.session_ids,
        finding.c.session_ids,
        func.clock_timestamp(),
    )


@cache
def _refresh_alerts() -> Select[Any]:
    """Locks the open alerts, then brings their words and their evidence up to date; returns which they are."""
    finding = _findings()
    still_open = (
        select(
            alerts.c.id,
            finding.c.tutor_id,
            finding.c.alert_type,
            finding.c.title,
            finding.c.description,
            finding.c.value,
            finding.c.threshold,
            finding.c.session_ids,
            _named_session(finding).label("session_id"),
        )
        .select_from(
            alerts.join(
                finding,
                and_(alerts.c.tutor_id == finding.c.tutor_id, alerts.c.alert_type == finding.c.alert_type),
            )
        )
        # Said twice: of a list the server expects few rows and finds them by their index; of findings it expects a
        # hundred, for which it would read everybody's open alerts.
        .where(alerts.c.tutor_id == any_(bindparam("tutor_ids", type_=ARRAY(Text))), _is_open_type())
        .with_for_update(of=alerts)
    ).cte("still_open")
    reworded = (
        update(alerts)
        .values(title=still_open.c.title, description=still_open.c.description, session_id=still_open.c.session_id)
        .where(
            alerts.c.tutor_id == still_open.c.tutor_id,
            alerts.c.id == still_open.c.id,
            tuple_(alerts.c.title, alerts.c.description, alerts.c.session_id).is_distinct_from(
                tuple_(still_open.c.title, still_open.c.description, still_open.c.session_id)
            ),
        )
    ).cte("reworded")
    evidence = insert(alert_evidence).from_select(_EVIDENCE, _evidence(still_open.c.id, still_open))
    renewed = evidence.on_conflict_do_update(
        index_elements=["tutor_id", "alert_id"],
        set_={
            "value": evidence.excluded.value,
            "threshold": evidence.excluded.threshold,
            "session_ids": evidence.excluded.session_ids,
            "counted_session_ids": literal_column(
                "ARRAY(SELECT unnest(alert_evidence.counted_session_ids) UNION SELECT unnest(excluded.session_ids))"
            ),
            "refreshed_at": evidence.excluded.refreshed_at,
        },
        where=tuple_(alert_evidence.c.value, alert_evidence.c.threshold, alert_evidence.c.session_ids).is_distinct_from(
            tuple_(evidence.excluded.value, evidence.excluded.threshold, evidence.excluded.session_ids)
        ),
    ).cte("renewed")
    return select(still_open.c.tutor_id, still_open.c.alert_type).add_cte(reworded, renewed)


@cache
def _write_insights() -> CompoundSelect[Any]:
    """Adds insights and confirms those that are active already; ends those that hold no longer.

    Returns what was added, and what was ended, without a kind.
    """
    insight = _insights()
    found = insert(tutor_insights).from_select(
        [
            "tutor_id",
            "category",
            "insight_type",
            "display_text",
            "metric_value",
            "sample_sessions",
            "detected_at",
            "is_active",
        ],
        select(
            insight.c.tutor_id,
            insight.c.category,
            insight.c.insight_type,
            insight.c.display_text,
            insight.c.metric_value,
            insight.c.sample_sessions,
            NOW,
            true(),
        ),
    )
    written = (
        found.on_conflict_do_update(
            index_elements=["tutor_id", "category"],
            index_where=text("is_active"),
            set_={
                "insight_type": found.excluded.insight_type,
                "display_text": found.excluded.display_text,
                "metric_value": found.excluded.metric_value,
                "sample_sessions": found.excluded.sample_sessions,
                "last_confirmed_at": NOW,
            },
        ).returning(
            tutor_insights.c.tutor_id,
            tutor_insights.c.category,
            tutor_insights.c.insight_type,
            tutor_insights.c.display_text,
            tutor_insights.c.last_confirmed_at,
        )
    ).cte("written")
    added = select(written.c.tutor_id, written.c.category, written.c.insight_type, written.c.display_text).where(
        written.c.last_confirmed_at.is_(None)
    )  # only those that were confirmed have it
    faded = _fade_insights()
    return added.union_all(select(faded.c.tutor_id, faded.c.category, null(), null()))


def _fade_insights() -> CTE:
    insight = _insights()
    still_holds: Select[Any] = (
        select(literal_column("1"))
        .select_from(insight)
        .where(insight.c.tutor_id == tutor_insights.c.tutor_id, insight.c.category == tutor_insights.c.category)
    )
    return (
        update(tutor_insights)
        .values(is_active=False, resolved_at=NOW)
        .where(
            tutor_insights.c.tutor_id == any_(bindparam("tutor_ids", type_=ARRAY(Text))),
            tutor_insights.c.is_active,
            ~exists(still_holds),
        )
        .returning(tutor_insights.c.tutor_id, tutor_insights.c.category)
    ).cte("faded")
