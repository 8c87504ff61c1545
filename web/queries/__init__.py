"""Every query that pages and JSON answers are made from: reading only, a connection given, frozen results."""

from web.queries.alerts.critical import CriticalSummary, CriticalTutor, critical_summary
from web.queries.alerts.lists import AlertsCount, AlertsPage, alerts_page, count_alerts
from web.queries.alerts.rows import AlertRow
from web.queries.alerts.single import alert_by_id, alerts_resting_on
from web.queries.audit import AuditPage, AuditRow, audit_page
from web.queries.dashboard import (
    DashboardData,
    Ranking,
    Scoreboard,
    critical_count,
    dashboard_data,
    names_of,
    open_alert_counts,
    rank,
    scoreboard,
)
from web.queries.evidence import (
    Evidence,
    EvidenceSession,
    HistoryEntry,
    InsightRow,
    evidence_of,
    history_of,
    insights_of,
)
from web.queries.platform import (
    PlatformStatistics,
    TutorMonth,
    allow_for_long_reading,
    platform_statistics,
    tutor_months,
)
from web.queries.sessions import (
    SessionDetails,
    SessionPosition,
    SessionRow,
    SessionsPage,
    SessionsShown,
    recent_sessions,
    session_details,
    sessions_of,
    tutor_of_session,
)
from web.queries.system import ListenerTotals, SystemState, listener_totals, system_state
from web.queries.texts import tutor_of_text
from web.queries.tutor import TutorOverview, coaching_notes_of, tutor_name, tutor_overview
from web.queries.tutors import (
    KnownOfTutors,
    TutorEntry,
    TutorFilter,
    TutorSort,
    TutorsWanted,
    every_tutor_by_name,
    tutor_facts,
)

__all__ = [
    "AlertRow",
    "AlertsCount",
    "AlertsPage",
    "AuditPage",
    "AuditRow",
    "CriticalSummary",
    "CriticalTutor",
    "DashboardData",
    "Evidence",
    "EvidenceSession",
    "HistoryEntry",
    "InsightRow",
    "KnownOfTutors",
    "ListenerTotals",
    "PlatformStatistics",
    "Ranking",
    "Scoreboard",
    "SessionDetails",
    "SessionPosition",
    "SessionRow",
    "SessionsPage",
    "SessionsShown",
    "SystemState",
    "TutorEntry",
    "TutorFilter",
    "TutorMonth",
    "TutorOverview",
    "TutorSort",
    "TutorsWanted",
    "alert_by_id",
    "alerts_page",
    "alerts_resting_on",
    "allow_for_long_reading",
    "audit_page",
    "coaching_notes_of",
    "count_alerts",
    "critical_count",
    "critical_summary",
    "dashboard_data",
    "every_tutor_by_name",
    "evidence_of",
    "history_of",
    "insights_of",
    "listener_totals",
    "names_of",
    "open_alert_counts",
    "platform_statistics",
    "rank",
    "recent_sessions",
    "scoreboard",
    "session_details",
    "sessions_of",
    "system_state",
    "tutor_facts",
    "tutor_months",
    "tutor_name",
    "tutor_of_session",
    "tutor_of_text",
    "tutor_overview",
]
