"""Every query that pages and JSON answers are made from: reading only, a connection given, frozen results."""

from web.queries.alerts import (
    AlertRow,
    AlertsPage,
    CriticalSummary,
    CriticalTutor,
    alerts_page,
    alerts_resting_on,
    critical_summary,
)
from web.queries.dashboard import (
    PlatformMetrics,
    Scoreboard,
    critical_count,
    names_of,
    open_alert_counts,
    platform_metrics,
    scoreboard,
    tutor_averages,
)
from web.queries.evidence import Evidence, EvidenceSession, evidence_of
from web.queries.sessions import (
    SessionDetails,
    SessionRow,
    SessionsPage,
    SessionsShown,
    recent_sessions,
    session_details,
    sessions_of,
)
from web.queries.system import SystemState, system_state
from web.queries.tutors import (
    TutorOverview,
    TutorsPage,
    coaching_notes_of,
    insights_of,
    tutor_name,
    tutor_overview,
    tutors_page,
)

__all__ = [
    "AlertRow",
    "AlertsPage",
    "CriticalSummary",
    "CriticalTutor",
    "Evidence",
    "EvidenceSession",
    "PlatformMetrics",
    "Scoreboard",
    "SessionDetails",
    "SessionRow",
    "SessionsPage",
    "SessionsShown",
    "SystemState",
    "TutorOverview",
    "TutorsPage",
    "alerts_page",
    "alerts_resting_on",
    "coaching_notes_of",
    "critical_count",
    "critical_summary",
    "evidence_of",
    "insights_of",
    "names_of",
    "open_alert_counts",
    "platform_metrics",
    "recent_sessions",
    "scoreboard",
    "session_details",
    "sessions_of",
    "system_state",
    "tutor_averages",
    "tutor_name",
    "tutor_overview",
    "tutors_page",
]
