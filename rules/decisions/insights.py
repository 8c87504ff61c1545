"""The eleven insight rules. Each reads like its row in the specification."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rules.decisions.statistics import Ratio, TutorStatistics
from rules.settings import Thresholds


class InsightCategory(StrEnum):
    """The platform's categories; Tutorwatch decides all of them."""

    HIGH_ENGAGEMENT = "high_engagement"
    BALANCED_TALK_RATIO = "balanced_talk_ratio"
    FREQUENT_UNDERSTANDING_CHECKS = "frequent_understanding_checks"
    STRONG_QUESTIONING = "strong_questioning"
    HIGH_VISUAL_AIDS = "high_visual_aids"
    POSITIVE_REINFORCEMENT = "positive_reinforcement"
    FIRST_SESSION_EXPERT = "first_session_expert"
    LOW_ENGAGEMENT = "low_engagement"
    HIGH_TALK_RATIO = "high_talk_ratio"
    INFREQUENT_UNDERSTANDING_CHECKS = "infrequent_understanding_checks"
    LOW_VISUAL_AIDS = "low_visual_aids"


class InsightKind(StrEnum):
    """What an insight is good for: praise, or coaching."""

    STRENGTH = "strength"
    GROWTH_AREA = "growth_area"


@dataclass(frozen=True, slots=True)
class Insight:
    """An insight that is active now. `value` is an average, or a share in percent."""

    category: InsightCategory
    kind: InsightKind
    text: str
    value: Decimal


def high_engagement(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Average `student_engagement_score` > 8.0."""
    if _enough(tutor.engagement, limits) and tutor.engagement.above(limits.insight_high_engagement_above):
        text = f"Students are highly engaged: {_average(tutor.engagement, limits)}"
        return _strength(InsightCategory.HIGH_ENGAGEMENT, text, tutor.engagement)
    return None


def balanced_talk_ratio(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """`tutor_talk_ratio` from 0.35 to 0.50 (both included) in >= 70%."""
    if _enough(tutor.balanced_talk, limits) and tutor.balanced_talk.at_least(limits.insight_balanced_talk_share):
        text = f"Talk time is well balanced in {_share(tutor.balanced_talk, limits)}"
        return _strength(InsightCategory.BALANCED_TALK_RATIO, text, _in_percent(tutor.balanced_talk))
    return None


def frequent_understanding_checks(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Average checks > 8."""
    if _enough(tutor.checks, limits) and tutor.checks.above(limits.insight_frequent_checks_above):
        text = f"Checks understanding often: {_average(tutor.checks, limits)}"
        return _strength(InsightCategory.FREQUENT_UNDERSTANDING_CHECKS, text, tutor.checks)
    return None


def strong_questioning(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Open-ended > 60% of all open and closed questions asked, in at least 5 sessions."""
    enough = tutor.questioned_sessions >= limits.insight_least_sessions
    if enough and tutor.open_questions.above(limits.insight_open_questions_share):
        text = (
            f"Asks open questions: {tutor.open_questions.percent()}% of {tutor.open_questions.count} "
            f"over {tutor.questioned_sessions} sessions in {limits.window_days} days"
        )
        return _strength(InsightCategory.STRONG_QUESTIONING, text, _in_percent(tutor.open_questions))
    return None


def high_visual_aids(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """`tutor_uses_visual_aids` in >= 70% of the sessions with video."""
    if _enough(tutor.visual_aids, limits) and tutor.visual_aids.at_least(limits.insight_high_visual_aids_share):
        text = f"Uses visual aids in {_share(tutor.visual_aids, limits)}"
        return _strength(InsightCategory.HIGH_VISUAL_AIDS, text, _in_percent(tutor.visual_aids))
    return None


def positive_reinforcement(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Average `tutor_positive_reinforcement_count` > 10."""
    if _enough(tutor.reinforcement, limits) and tutor.reinforcement.above(limits.insight_reinforcement_above):
        text = f"Encourages students: {_average(tutor.reinforcement, limits)}"
        return _strength(InsightCategory.POSITIVE_REINFORCEMENT, text, tutor.reinforcement)
    return None


def first_session_expert(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """At least 85% of first sessions converted; at least 3 first sessions."""
    enough = tutor.conversions.count >= limits.insight_conversion_least
    if enough and tutor.conversions.at_least(limits.insight_conversion_share):
        text = (
            f"Students come back after {tutor.conversions.total} of {tutor.conversions.count} first sessions "
            f"({tutor.conversions.percent()}%) in {limits.window_days} days"
        )
        return _strength(InsightCategory.FIRST_SESSION_EXPERT, text, _in_percent(tutor.conversions))
    return None


def low_engagement(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Average engagement < 6.0."""
    if _enough(tutor.engagement, limits) and tutor.engagement.below(limits.insight_low_engagement_below):
        text = f"Students are little engaged: {_average(tutor.engagement, limits)}"
        return _growth_area(InsightCategory.LOW_ENGAGEMENT, text, tutor.engagement)
    return None


def high_talk_ratio(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Talk ratio > 0.65 in >= 70%."""
    if _enough(tutor.high_talk, limits) and tutor.high_talk.at_least(limits.insight_high_talk_share):
        text = f"Talks more than the student can use in {_share(tutor.high_talk, limits)}"
        return _growth_area(InsightCategory.HIGH_TALK_RATIO, text, _in_percent(tutor.high_talk))
    return None


def infrequent_understanding_checks(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Average checks < 4."""
    if _enough(tutor.checks, limits) and tutor.checks.below(limits.insight_infrequent_checks_below):
        text = f"Seldom checks understanding: {_average(tutor.checks, limits)}"
        return _growth_area(InsightCategory.INFREQUENT_UNDERSTANDING_CHECKS, text, tutor.checks)
    return None


def low_visual_aids(tutor: TutorStatistics, limits: Thresholds) -> Insight | None:
    """Visual aids in < 30% of the sessions with video."""
    if _enough(tutor.visual_aids, limits) and tutor.visual_aids.below(limits.insight_low_visual_aids_share):
        text = f"Uses visual aids in only {_share(tutor.visual_aids, limits)}"
        return _growth_area(InsightCategory.LOW_VISUAL_AIDS, text, _in_percent(tutor.visual_aids))
    return None


INSIGHT_RULES = (
    high_engagement,
    balanced_talk_ratio,
    frequent_understanding_checks,
    strong_questioning,
    high_visual_aids,
    positive_reinforcement,
    first_session_expert,
    low_engagement,
    high_talk_ratio,
    infrequent_understanding_checks,
    low_visual_aids,
)


def decide_insights(tutor: TutorStatistics, limits: Thresholds) -> list[Insight]:
    """The insights that hold for the tutor now; all others are to be inactive."""
    return [insight for rule in INSIGHT_RULES if (insight := rule(tutor, limits))]


LARGEST_VALUE = Decimal("999.99")
"""The platform's `metric_value` is numeric(5,2): an average beyond it, either way, is stored as this."""


def _strength(category: InsightCategory, text: str, measured: Ratio) -> Insight:
    return Insight(category, InsightKind.STRENGTH, text, _storable(measured))


def _growth_area(category: InsightCategory, text: str, measured: Ratio) -> Insight:
    return Insight(category, InsightKind.GROWTH_AREA, text, _storable(measured))


def _storable(measured: Ratio) -> Decimal:
    return max(-LARGEST_VALUE, min(measured.rounded(2), LARGEST_VALUE))


def _enough(measured: Ratio, limits: Thresholds) -> bool:
    return measured.count >= limits.insight_least_sessions


def _in_percent(share: Ratio) -> Ratio:
    return Ratio(share.total * 100, share.count)


def _average(measured: Ratio, limits: Thresholds) -> str:
    return f"{measured.rounded(1)} on average over {measured.count} sessions in {limits.window_days} days"


def _share(measured: Ratio, limits: Thresholds) -> str:
    return f"{measured.percent()}% of {measured.count} sessions in {limits.window_days} days"
