"""Names of the platform's closed sets in words: the alert types that can be asked for, and what pages call them."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from rules.registry import ALERT_RULES, RULES


class Severity(StrEnum):
    """The platform's severities, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


ALERT_TYPES = (*ALERT_RULES, *({"student_frustration_detected", "student_churn_risk"} - ALERT_RULES.keys()))
"""The platform's alert types: those that Tutorwatch opens, then those that only other clients write."""


def _known_type(name: str) -> str:
    if name not in ALERT_TYPES:
        raise ValueError(f"must be one of {', '.join(ALERT_TYPES)}")
    return name


AlertType = Annotated[str, AfterValidator(_known_type), WithJsonSchema({"type": "string", "enum": list(ALERT_TYPES)})]
"""One of them, in what clients send."""

_LABELS = {
    "student_frustration_detected": "Student frustration",
    "student_churn_risk": "Student churn risk",
    "no_show_tutor": "Tutor did not show up",
    "no_show_student": "Student did not show up",
    "math": "Mathematics",
    "condition_cleared": "No longer met",
} | {rule.name: rule.label for rule in RULES}

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
