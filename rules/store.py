"""Writes what the rules found: a few statements for a whole batch, and nothing for what stays the same.

No unique index keeps alerts and insights single: the tutors are locked (see `rules.generation`), and what is open or
active is what the platform's tables say under that lock. Rows of the platform's are put together as its table has them
(`json_populate_record`), so that its columns may have other types than the deployed ones.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.column_types import NaiveUtc
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


_NOW = bindparam("now", type_=NaiveUtc)
_TUTOR_IDS = bindparam("tutor_ids", type_=ARRAY(Text))
_TYPES = bindparam("types", list(OUR_ALERT_TYPES), type_=ARRAY(Text))
_FINDINGS = bindparam("findings", type_=JSON)
_FINDING = """
    finding AS MATERIALIZED (
        SELECT alert.tutor_id, alert.alert_type, alert.severity, alert.title, alert.description, alert.session_id,
               row.type, row.value, row.threshold, row.session_ids, row.resolved_alerts, row.open_alerts
        FROM json_to_recordset(:findings) AS row (alert json, type text, value numeric, threshold numeric,
                                                  session_ids uuid[], resolved_alerts bigint, open_alerts bigint)
        CROSS JOIN LATERAL json_populate_record(NULL::public.alerts, row.alert) AS alert
    )
"""


async def store_alerts(
    conn: AsyncConnection,
    decisions: Sequence[tuple[TutorStatistics, AlertDecision]],
    sessions_behind: SessionsByFinding,
    now: datetime,
    *,
    with_open_alerts: Sequence[str],
) -> list[OpenedAlert]:
    """Refreshes the alerts that are open, opens those that may, and returns the latter.

    Of several open ones of a tutor and type (other clients insert and move alerts) one stays open. `with_open_alerts`
    are the tutors who have open alerts.

    A person may resolve an alert between our reading and our writing, other clients may do anything. So the open ones
    are locked first: one that is being resolved keeps the evidence it is resolved with. And nothing is opened for a
    tutor who has other alerts than were taken into account: that change is on record in the outbox, and the next
    generation knows of it.
    """
    rows = [
        (tutor, decision, _alert_row(tutor, decision, decision.finding, sessions_behind))
        for tutor, decision in decisions
        if decision.finding
    ]
    still_open, ended = await _refresh(
        conn, [row for tutor, _, row in rows if tutor.open_alerts], with_open_alerts, now
    )
    may_open = [
        row
        | {
            "resolved_alerts": tutor.resolved_alerts + ended[tutor.tutor_id],
            "open_alerts": tutor.open_alerts - ended[tutor.tutor_id],
        }
        for tutor, decision, row in rows
        if decision.verdict is Verdict.HOLDS and (tutor.tutor_id, decision.alert_type) not in still_open
    ]
    return await _open(conn, may_open, now)


# Of the alerts that are open the one to keep is an acknowledged one before an untouched one, else the oldest.
_REFRESH = text(f"""
    WITH {_FINDING}, open AS MATERIALIZED (
        SELECT id, tutor_id, alert_type, acknowledged, triggered_date, created_at, title, description, session_id
        FROM public.alerts
        WHERE tutor_id = ANY(:tutor_ids) AND NOT resolved AND alert_type::text = ANY(:types)
        FOR UPDATE
    ), ranked AS MATERIALIZED (
        SELECT open.*, first_value(id) OVER (
            PARTITION BY tutor_id, alert_type ORDER BY acknowledged DESC, triggered_date, created_at, id) AS kept_id
        FROM open
    ), kept AS MATERIALIZED (
        SELECT ranked.id, ranked.title AS old_title, ranked.description AS old_description,
               ranked.session_id AS old_session_id, finding.*
        FROM ranked JOIN finding ON finding.tutor_id = ranked.tutor_id AND finding.type = ranked.alert_type::text
        WHERE ranked.id = ranked.kept_id
    ), reworded AS (
        UPDATE public.alerts
        SET title = kept.title, description = kept.description, session_id = kept.session_id
        FROM kept
        WHERE alerts.id = kept.id
          AND (kept.old_title, kept.old_description, kept.old_session_id)
              IS DISTINCT FROM (kept.title, kept.description, kept.session_id)
    ), renewed AS (
        INSERT INTO tutorwatch.alert_evidence AS evidence
            (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
        SELECT id, tutor_id, value, threshold, session_ids, clock_timestamp() FROM kept
        ON CONFLICT (alert_id) DO UPDATE
        SET tutor_id = excluded.tutor_id, value = excluded.value, threshold = excluded.threshold,
            session_ids = excluded.session_ids, refreshed_at = excluded.refreshed_at
        WHERE (evidence.tutor_id, evidence.value, evidence.threshold, evidence.session_ids)
              IS DISTINCT FROM (excluded.tutor_id, excluded.value, excluded.threshold, excluded.session_ids)
        RETURNING alert_id
    ), consumed AS (
        INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
        SELECT unnest(kept.session_ids), kept.type, kept.id FROM kept JOIN renewed ON renewed.alert_id = kept.id
        ON CONFLICT DO NOTHING
    )
    SELECT id, tutor_id, alert_type::text AS type, kept_id FROM ranked
""").bindparams(_FINDINGS, _TUTOR_IDS, _TYPES)  # noqa: S608 - a constant of ours
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
    found = list(await conn.execute(_REFRESH, {"findings": findings, "tutor_ids": sorted(tutor_ids)}))
    duplicates = [alert for alert in found if alert.id != alert.kept_id]
    if duplicates:
        ended, kept = ([getattr(alert, name) for alert in duplicates] for name in ("id", "kept_id"))
        await conn.execute(_END_DUPLICATES, {"duplicates": ended, "kept": kept, "now": now})
    return {(alert.tutor_id, alert.type) for alert in found}, Counter(alert.tutor_id for alert in duplicates)


_OPEN = text(f"""
    WITH {_FINDING}, may_open AS MATERIALIZED (
        SELECT json_agg(row_to_json(finding)) AS alerts
        FROM (SELECT tutor_id, alert_type, severity, title, description, session_id, resolved_alerts, open_alerts
              FROM finding) AS finding
        WHERE (finding.resolved_alerts, finding.open_alerts) = (
            SELECT count(*) FILTER (WHERE theirs.resolved), count(*) FILTER (WHERE NOT theirs.resolved)
            FROM public.alerts AS theirs
            WHERE theirs.tutor_id = finding.tutor_id AND theirs.alert_type::text = ANY(:types)
        )
    ), opened AS MATERIALIZED (
        SELECT opened.* FROM may_open CROSS JOIN LATERAL tutorwatch.open_alerts(may_open.alerts, :now) AS opened
        WHERE may_open.alerts IS NOT NULL
    ), evidence AS (
        INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
        SELECT opened.id, tutor_id, value, threshold, session_ids, clock_timestamp()
        FROM opened JOIN finding USING (tutor_id, type)
    ), consumed AS (
        INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
        SELECT unnest(session_ids), type, opened.id FROM opened JOIN finding USING (tutor_id, type)
        ON CONFLICT DO NOTHING
    )
    SELECT tutor_id, type, severity, description FROM opened
""").bindparams(_FINDINGS, _TYPES, _NOW)  # noqa: S608 - a constant of ours


async def _open(conn: AsyncConnection, findings: list[dict[str, Any]], now: datetime) -> list[OpenedAlert]:
    if not findings:
        return []
    opened = await conn.execute(_OPEN, {"findings": findings, "now": now})
    return [OpenedAlert(row.tutor_id, AlertType(row.type), Severity(row.severity), row.description) for row in opened]


# Of several active ones of a tutor and category the oldest stays.
_WRITE_INSIGHTS = text("""
    WITH insight AS MATERIALIZED (
        SELECT new.tutor_id, new.category, new.insight_type, new.display_text, new.metric_value, new.sample_sessions
        FROM json_populate_recordset(NULL::public.tutor_insights, :insights) AS new
    ), active AS MATERIALIZED (
        SELECT id, tutor_id, category,
               row_number() OVER (PARTITION BY tutor_id, category ORDER BY detected_at, id) AS place
        FROM public.tutor_insights
        WHERE tutor_id = ANY(:tutor_ids) AND is_active AND category::text = ANY(:categories)  -- others are not ours
    ), confirmed AS (
        UPDATE public.tutor_insights AS held
        SET insight_type = insight.insight_type, display_text = insight.display_text,
            metric_value = insight.metric_value, sample_sessions = insight.sample_sessions, last_confirmed_at = :now
        FROM active JOIN insight ON insight.tutor_id = active.tutor_id AND insight.category = active.category
        WHERE held.id = active.id AND active.place = 1 AND held.is_active
    ), added AS (
        INSERT INTO public.tutor_insights (tutor_id, category, insight_type, display_text, metric_value,
                                           sample_sessions, detected_at, is_active)
        SELECT tutor_id, category, insight_type, display_text, metric_value, sample_sessions, :now, true
        FROM insight
        WHERE NOT EXISTS (
            SELECT FROM active WHERE active.tutor_id = insight.tutor_id AND active.category = insight.category)
        RETURNING tutor_id, category, insight_type, display_text
    ), ended AS (
        UPDATE public.tutor_insights AS held
        SET is_active = false, resolved_at = :now
        FROM active
        WHERE held.id = active.id AND held.is_active AND (active.place > 1 OR NOT EXISTS (
            SELECT FROM insight WHERE insight.tutor_id = active.tutor_id AND insight.category = active.category))
        RETURNING held.tutor_id, held.category, active.place
    )
    SELECT tutor_id, category::text, insight_type::text, display_text FROM added
    UNION ALL
    SELECT tutor_id, category::text, NULL, NULL FROM ended WHERE place = 1
""").bindparams(
    bindparam("insights", type_=JSON),
    bindparam("categories", list(InsightCategory), type_=ARRAY(Text)),
    _TUTOR_IDS,
    _NOW,
)


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
    for tutor_id, category, kind, words in await conn.execute(_WRITE_INSIGHTS, values):
        if kind is None:
            faded_insights.append(FadedInsight(tutor_id, InsightCategory(category)))
        else:
            found_insights.append(FoundInsight(tutor_id, InsightCategory(category), InsightKind(kind), words))
    return found_insights, faded_insights


def _alert_row(
    tutor: TutorStatistics, decision: AlertDecision, finding: AlertFinding, sessions_behind: SessionsByFinding
) -> dict[str, Any]:
    session_ids = [str(each) for each in sessions_behind.get((tutor.tutor_id, decision.alert_type), [])]
    names_one = decision.alert_type is AlertType.POOR_FIRST_SESSION and session_ids  # the latest
    return {
        "alert": {
            "tutor_id": tutor.tutor_id,
            "alert_type": decision.alert_type,
            "severity": SEVERITIES[decision.alert_type],
            "title": finding.title,
            "description": finding.description,
            "session_id": session_ids[0] if names_one else None,
        },
        "type": decision.alert_type,
        "value": str(finding.value),
        "threshold": str(finding.threshold),
        "session_ids": session_ids,
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
