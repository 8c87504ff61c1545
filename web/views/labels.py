"""Names of the platform's closed sets in words: the alert types that can be asked for, and what pages call them."""

from enum import StrEnum


class Severity(StrEnum):
    """The platform's severities, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class PlatformAlertType(StrEnum):
    """The platform's alert types: those that Tutorwatch opens, and two that other clients write."""

    POOR_FIRST_SESSION = "poor_first_session"
    NO_SHOW_PATTERN = "no_show_pattern"
    HIGH_TALK_RATIO = "high_talk_ratio"
    LOW_UNDERSTANDING_CHECKS = "low_understanding_checks"
    HIGH_RESCHEDULE_RATE = "high_reschedule_rate"
    DECLINING_PERFORMANCE = "declining_performance"
    STUDENT_FRUSTRATION_DETECTED = "student_frustration_detected"
    STUDENT_CHURN_RISK = "student_churn_risk"


_LABELS = {
    "poor_first_session": "Poor first session",
    "no_show_pattern": "No-show pattern",
    "high_talk_ratio": "High talk ratio",
    "low_understanding_checks": "Few understanding checks",
    "high_reschedule_rate": "High reschedule rate",
    "declining_performance": "Declining performance",
    "student_frustration_detected": "Student frustration",
    "student_churn_risk": "Student churn risk",
    "no_show_tutor": "Tutor did not show up",
    "no_show_student": "Student did not show up",
    "math": "Mathematics",
    "condition_cleared": "No longer met",
}

METRIC_LABELS = {
    "avg_student_response_delay": "Average response delay",
    "concept_re_explanation_count": "Concepts explained again",
    "student_on_screen_attention_pct": "On-screen attention",
    "active_tab_focus_pct": "Active tab focus",
    "tutor_uses_visual_aids": "Visual aids used",
    "student_taking_notes_duration": "Student taking notes",
    "whiteboard_usage_minutes": "Whiteboard in use",
    "messaging_app_detected": "Messaging app seen",
    "gaming_detected": "Gaming seen",
    "tutor_checks_understanding_count": "Understanding checks",
    "tutor_positive_reinforcement_count": "Positive reinforcements",
    "distraction_events_count": "Distractions",
    "student_initiated_questions": "Questions by the student",
    "open_ended_questions": "Open-ended questions",
    "closed_ended_questions": "Closed-ended questions",
    "student_frustration_count": "Signs of frustration",
    "student_confusion_count": "Signs of confusion",
}


def label(name: str) -> str:
    """A member of one of the platform's enums in words; names this program doesn't know read well enough."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize()


TELL_ALL = {
    "no_show_pattern",
    "high_reschedule_rate",
    "first_session_expert",
    "strong_questioning",
    "high_visual_aids",
    "low_visual_aids",
    "positive_reinforcement",
}
"""Rules whose own words say what there is to say of a session; its score would only lead astray."""
