"""The names of the metrics that the platform has of a session, by table."""

AUDIO_METRICS = (
    "tutor_talk_ratio",
    "student_talk_ratio",
    "productive_silence_ratio",
    "awkward_pause_ratio",
    "student_engagement_score",
    "tutor_enthusiasm_score",
    "avg_student_response_delay",
    "long_pauses_count",
    "student_initiated_questions",
    "student_frustration_count",
    "student_confusion_count",
    "positive_moments_count",
    "tutor_checks_understanding_count",
    "tutor_positive_reinforcement_count",
    "concept_re_explanation_count",
    "open_ended_questions",
    "closed_ended_questions",
    "rhetorical_questions",
)
VIDEO_METRICS = (
    "student_on_screen_attention_pct",
    "student_visual_engagement_score",
    "distraction_events_count",
    "confusion_moments_count",
    "tutor_uses_visual_aids",
    "student_taking_notes_duration",
)
SCREEN_METRICS = (
    "active_tab_focus_pct",
    "tab_switches_count",
    "whiteboard_usage_minutes",
    "messaging_app_detected",
    "gaming_detected",
)

BOOLEAN_METRICS = ("tutor_uses_visual_aids", "messaging_app_detected", "gaming_detected")


def is_measured(metric: str) -> bool:
    """Return whether the metric has decimals; the others count."""
    return metric.endswith(("_ratio", "_pct", "_score", "_delay"))
