"""A platform's alerts of years, made in the database on top of `benchmarks.dataset`: the same sizes give the same
rows, but for their dates, which move with the moment they end at.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

import psycopg

from benchmarks.dataset import Size, skip_key_checks

YEARS = 3
"""The resolved alerts lie evenly over so many years; the open ones in the last week."""


@dataclass(frozen=True)
class AlertHistory:
    """How many alerts there are in all, and how many of them are open: at most one for each tutor."""

    total: int
    open: int


def fill(url: str, size: Size, history: AlertHistory, now: datetime) -> None:
    """Adds the alerts, each with its evidence of three sessions, and the resolutions, in one transaction.

    The database must hold the sessions of that size. The open alerts are those of the first tutors; one in five is
    critical. Vacuums and analyzes at the end.
    """
    values = {
        "tutors": size.tutors,
        "sessions_each": size.sessions_each,
        "total": history.total,
        "open": history.open,
        "years": YEARS,
        "now": now.astimezone(UTC).replace(tzinfo=None),
    }
    with psycopg.connect(url) as connection:
        skip_key_checks(connection)  # and no trigger announces what is filled in
        for statement in (_ALERTS, _EVIDENCE, _CONSUMED, _RESOLUTIONS, _INSIGHTS):
            connection.execute(statement, values)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "VACUUM (ANALYZE) public.alerts, public.tutor_insights, tutorwatch.alert_evidence,"
            " tutorwatch.alert_resolutions, tutorwatch.consumed_sessions"
        )
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


# The alerts in the order in which they were opened: the open ones, n up to %(open)s, come last and are the newest.
_ALERTS: LiteralString = """
    INSERT INTO public.alerts
        (id, tutor_id, alert_type, severity, title, description, triggered_date, session_id, acknowledged,
         acknowledged_by, acknowledged_at, action_taken, resolved, resolved_at, created_at)
    SELECT md5('bench-alert-' || n)::uuid, 'bench-tutor-' || t, kind.alert_type::public.alert_type,
           kind.severity::public.alert_severity, kind.title, '3 sessions in 30 days counted (limit 2)', at,
           CASE kind.alert_type WHEN 'poor_first_session'
                THEN md5('bench-session-' || t * 1000000::bigint + 1 + n %% %(sessions_each)s::int)::uuid END,
           n > %(open)s OR n %% 3 = 0, CASE WHEN n > %(open)s OR n %% 3 = 0 THEN 'bench-admin' END,
           CASE WHEN n > %(open)s OR n %% 3 = 0 THEN at + interval '1 hour' END,
           CASE WHEN n > %(open)s THEN 'Spoke about it, and looked at the next sessions together.' END,
           n > %(open)s, CASE WHEN n > %(open)s THEN at + interval '1 day' END, at
    FROM (
        SELECT n, 1 + (n - 1) %% %(tutors)s::int AS t,
               CASE WHEN n <= %(open)s THEN %(now)s::timestamp - interval '7 days' * n / (%(open)s + 1)
                    ELSE %(now)s::timestamp - interval '8 days' - make_interval(days => 365 * %(years)s::int)
                         * (n::float8 / %(total)s) END AS at
        FROM generate_series(1, %(total)s::int) AS n
    ) AS alert
    JOIN (VALUES (0, 'no_show_pattern', 'critical', 'Tutor no-shows'),
                 (1, 'high_talk_ratio', 'warning', 'High talk ratio'),
                 (2, 'low_understanding_checks', 'warning', 'Few understanding checks'),
                 (3, 'high_reschedule_rate', 'warning', 'Many reschedules'),
                 (4, 'declining_performance', 'warning', 'Declining performance'),
                 (5, 'poor_first_session', 'critical', 'Poor first session')
    ) AS kind (number, alert_type, severity, title) ON kind.number = CASE n %% 10 WHEN 5 THEN 5 ELSE n %% 5 END
    ORDER BY n DESC
"""

_EVIDENCE: LiteralString = """
    INSERT INTO tutorwatch.alert_evidence
        (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
    SELECT md5('bench-alert-' || n)::uuid, 'bench-tutor-' || t, 3, 2, behind, %(now)s::timestamp
    FROM generate_series(1, %(total)s::int) AS n,
         LATERAL (SELECT 1 + (n - 1) %% %(tutors)s::int AS t) AS tutor,
         LATERAL (
             SELECT array_agg(md5('bench-session-' || t * 1000000::bigint + 1 + (n + 7 * i) %% %(sessions_each)s)::uuid)
             FROM generate_series(0, 2) AS i
         ) AS sessions (behind)
    ORDER BY n DESC
"""

_CONSUMED: LiteralString = """
    INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
    SELECT unnest(session_ids), alert_type::text, id FROM tutorwatch.alert_evidence JOIN public.alerts ON id = alert_id
    ON CONFLICT DO NOTHING
"""

_RESOLUTIONS: LiteralString = """
    INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, resolved_by, outcome, resolved_at)
    SELECT id, tutor_id, 'bench-admin', (ARRAY['coached', 'not_actionable', 'other'])[1 + n %% 3], resolved_at
    FROM generate_series(%(open)s + 1, %(total)s::int) AS n
    JOIN public.alerts ON id = md5('bench-alert-' || n)::uuid
    ORDER BY n DESC
"""

_INSIGHTS: LiteralString = """
    INSERT INTO public.tutor_insights
        (id, tutor_id, insight_type, category, display_text, detected_at, last_confirmed_at, sample_sessions,
         metric_value)
    SELECT md5('bench-insight-' || t || category)::uuid, 'bench-tutor-' || t, kind::public.insight_type,
           category::public.insight_category, 'Holds in 9 of 10 sessions', %(now)s::timestamp - interval '9 days',
           %(now)s::timestamp,
           ARRAY(SELECT md5('bench-session-' || t * 1000000::bigint + i)::uuid FROM generate_series(1, 3) AS i), 8.5
    FROM generate_series(1, %(tutors)s::int) AS t,
         (VALUES ('strength', 'high_engagement'), ('strength', 'high_visual_aids'), ('growth_area', 'high_talk_ratio'))
         AS insight (kind, category)
"""
