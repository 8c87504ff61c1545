"""Writes what the rules found: a few statements for a whole batch, and nothing for what stays the same.

No unique index keeps alerts and insights single: the tutors are locked (see `rules.generation`), and what is open or
active is what the platform's tables say under that lock. Rows of the platform's are put together as its table has them
(`json_populate_record`), so that its columns may have other types than the deployed ones.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
from database.sql_files import read_sql
from rules.decisions import Decided
from rules.evidence import SessionsByRule
from rules.measures import round_half_up
from rules.registry import ALERT_RULES, INSIGHT_RULES
from rules.rule import AlertRule, InsightKind, InsightRule, Severity
from rules.thresholds import Unit
from rules.verdicts import Decision


@dataclass(frozen=True, slots=True)
class OpenedAlert:
    """An alert that a generation opened."""

    tutor_id: str
    alert_type: str
    severity: Severity
    description: str


@dataclass(frozen=True, slots=True)
class NewInsight:
    """An insight that became active."""

    tutor_id: str
    category: str
    kind: InsightKind
    text: str


@dataclass(frozen=True, slots=True)
class EndedInsight:
    """An insight that was deactivated, because it no longer holds."""

    tutor_id: str
    category: str


_NOW = bindparam("now", type_=NaiveUtc)
_TUTOR_IDS = bindparam("tutor_ids", type_=ARRAY(Text))
_TYPES = bindparam("types", list(ALERT_RULES), type_=ARRAY(Text))
_FINDINGS = bindparam("findings", type_=JSON)
_FINDING = read_sql("rules.sql", "finding")
"""The alerts that may be refreshed or opened, as `WITH finding`."""


async def store_alerts(
    conn: AsyncConnection,
    decided: Sequence[Decided[AlertRule]],
    evidence: SessionsByRule,
    now: datetime,
    *,
    with_open_alerts: Sequence[str],
) -> list[OpenedAlert]:
    """Refreshes the alerts that are open, opens those that may, and returns the latter.

    `decided` are the verdicts of all rules that are on. An open alert whose condition is no longer met stays open, and
    says so: only a person resolves. Of several open ones of a tutor and type (other clients insert and move alerts) one
    stays open. `with_open_alerts` are the tutors who have open alerts.

    A person may resolve an alert between our reading and our writing, other clients may do anything. So the open ones
    are locked first: one that is being resolved keeps the evidence it is resolved with. And nothing is opened for a
    tutor who has other alerts than were taken into account: that change is on record in the outbox, and the next
    generation knows of it.
    """
    rows = [
        (each, _alert_row(each, evidence.get(each.key, [])))
        for each in decided
        if each.verdict.is_met or each.tutor.open_alerts
    ]
    of_open = [row for each, row in rows if each.tutor.open_alerts]
    still_open, ended = await _refresh(conn, of_open, with_open_alerts, now)
    may_open = [
        row
        | {
            "resolved_alerts": each.tutor.resolved_alerts + ended[each.tutor.tutor_id],
            "open_alerts": each.tutor.open_alerts - ended[each.tutor.tutor_id],
        }
        for each, row in rows
        if each.verdict.decision is Decision.HOLDS and each.key not in still_open
    ]
    return await _open(conn, may_open, now)


_REFRESH = text(read_sql("rules.sql", "refresh_alerts", finding=_FINDING)).bindparams(
    _FINDINGS, _TUTOR_IDS, _TYPES, _NOW
)
_END_DUPLICATES = text("SELECT tutorwatch.end_duplicate_alerts(:duplicates, :kept, :now)").bindparams(
    bindparam("duplicates", type_=ARRAY(Uuid)), bindparam("kept", type_=ARRAY(Uuid)), _NOW
)


async def _refresh(
    conn: AsyncConnection, findings: list[dict[str, Any]], tutor_ids: Sequence[str], now: datetime
) -> tuple[set[tuple[str, str]], Counter[str]]:
    """Returns tutor and type of the alerts that are open and now stay so until the transaction ends, and how many
    duplicates it ended of each tutor.
    """
    if not tutor_ids:
        return set(), Counter()
    found = list(await conn.execute(_REFRESH, {"findings": findings, "tutor_ids": sorted(tutor_ids), "now": now}))
    duplicates = [alert for alert in found if alert.id != alert.kept_id]
    if duplicates:
        ended, kept = ([getattr(alert, name) for alert in duplicates] for name in ("id", "kept_id"))
        await conn.execute(_END_DUPLICATES, {"duplicates": ended, "kept": kept, "now": now})
    return {(alert.tutor_id, alert.type) for alert in found}, Counter(alert.tutor_id for alert in duplicates)


_OPEN = text(read_sql("rules.sql", "open_alerts", finding=_FINDING)).bindparams(_FINDINGS, _TYPES, _NOW)


async def _open(conn: AsyncConnection, findings: list[dict[str, Any]], now: datetime) -> list[OpenedAlert]:
    if not findings:
        return []
    opened = await conn.execute(_OPEN, {"findings": findings, "now": now})
    return [OpenedAlert(row.tutor_id, row.type, Severity(row.severity), row.description) for row in opened]


_NOTICE_ENDED = text(read_sql("rules.sql", "notice_ended")).bindparams(_TUTOR_IDS)


async def notice_ended(conn: AsyncConnection, tutor_ids: Sequence[str]) -> None:
    """Notes in their history that alerts of these tutors were resolved by other clients, once."""
    if tutor_ids:
        await conn.execute(_NOTICE_ENDED, {"tutor_ids": list(tutor_ids)})


_WRITE_INSIGHTS = text(read_sql("rules.sql", "write_insights")).bindparams(
    bindparam("insights", type_=JSON),
    bindparam("categories", list(INSIGHT_RULES), type_=ARRAY(Text)),
    _TUTOR_IDS,
    _NOW,
)


async def store_insights(
    conn: AsyncConnection,
    tutor_ids: Sequence[str],
    held: Sequence[Decided[InsightRule]],
    samples: SessionsByRule,
    now: datetime,
) -> tuple[list[NewInsight], list[EndedInsight]]:
    """Writes the insights that hold for these tutors; those of theirs that don't become inactive."""
    rows = [_insight_row(decided, samples.get(decided.key, [])) for decided in held]
    values = {"insights": rows, "tutor_ids": list(tutor_ids), "now": now}
    new: list[NewInsight] = []
    ended: list[EndedInsight] = []
    for tutor_id, category, kind, words in await conn.execute(_WRITE_INSIGHTS, values):
        if kind is None:
            ended.append(EndedInsight(tutor_id, category))
        else:
            new.append(NewInsight(tutor_id, category, InsightKind(kind), words))
    return new, ended


def _alert_row(decided: Decided[AlertRule], session_ids: list[UUID]) -> dict[str, Any]:
    rule, verdict, ids = decided.rule, decided.verdict, [str(session_id) for session_id in session_ids]
    return {
        "alert": {
            "tutor_id": decided.tutor.tutor_id,
            "alert_type": rule.name,
            "severity": rule.severity,
            "title": rule.label,
            "description": verdict.text if verdict.is_met else verdict.measured,
            "session_id": ids[0] if rule.names_session and ids else None,
        },
        "type": rule.name,
        "is_met": verdict.is_met,
        "value": None if verdict.value is None else str(verdict.value),
        "shown": None if verdict.shown is None else str(verdict.shown),
        "unit": rule.unit,
        "lower_is_worse": None if rule.counts else rule.lower_is_worse,
        "threshold": str(verdict.threshold),
        "session_ids": ids,
    }


LARGEST_VALUE = Decimal("999.99")
"""The platform's `metric_value` is numeric(5,2): an average beyond it, either way, is stored as this."""


def metric_value(decided: Decided[InsightRule]) -> Decimal:
    """An insight's value as the platform keeps it: an average, or a share in percent, with two decimal places."""
    value = decided.verdict.value or Decimal(0)
    if decided.rule.compares_with.unit is Unit.SHARE:
        value *= 100
    return round_half_up(max(-LARGEST_VALUE, min(value, LARGEST_VALUE)), 2)


def _insight_row(decided: Decided[InsightRule], session_ids: list[UUID]) -> dict[str, Any]:
    return {
        "tutor_id": decided.tutor.tutor_id,
        "category": decided.rule.name,
        "insight_type": decided.rule.kind,
        "display_text": decided.verdict.text,
        "metric_value": str(metric_value(decided)),
        "sample_sessions": [str(session_id) for session_id in session_ids],
    }
