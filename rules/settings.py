"""The rules' settings: every threshold, window and least-data figure of the specification."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[Decimal, Field(ge=0, le=1)]
Score = Annotated[Decimal, Field(ge=0, le=10)]
Average = Annotated[Decimal, Field(ge=0)]
Days = Annotated[int, Field(ge=1, le=3650)]
Least = Annotated[int, Field(ge=1, le=10_000)]


class Thresholds(BaseSettings):
    """What the rules compare with. Defaults are the platform's (specification, "Generation").

    Read from the environment, prefix TUTORWATCH_. Shares are fractions: 0.70 is 70 %.
    """

    model_config = SettingsConfigDict(env_prefix="TUTORWATCH_", frozen=True)

    window_days: Days = Field(30, description="Window of all averages and shares, and of every insight")
    recent_sessions: Least = Field(10, description='How many latest sessions are "the recent ten"')

    poor_first_session_below: Score = Field(Decimal("6.5"), description="A first session scored below is poor")
    poor_first_session_days: Days = Field(7, description="Window of poor_first_session")
    poor_first_session_least: Least = Field(1, description="Poor first sessions that open the alert")
    no_show_pattern_count: Least = Field(2, description="No-shows of the tutor that open the alert")
    no_show_pattern_days: Days = Field(30, description="Window of no_show_pattern")
    high_talk_ratio_above: Share = Field(Decimal("0.65"), description="Talk ratio that is too high, for the alert")
    high_talk_ratio_share: Share = Field(Decimal("0.70"), description="Share of such sessions that opens the alert")
    high_talk_ratio_least: Least = Field(5, description="Least sessions for high_talk_ratio")
    low_checks_below: Average = Field(Decimal(4), description="Average understanding checks below which it opens")
    low_checks_least: Least = Field(5, description="Least sessions for low_understanding_checks")
    high_reschedule_count: Least = Field(5, description="Reschedules by the tutor that open the alert")
    high_reschedule_days: Days = Field(30, description="Window of high_reschedule_rate")
    declining_more_than: Share = Field(Decimal("0.15"), description="Fall of the average score that opens the alert")
    declining_days: Days = Field(30, description="Each of the two windows of declining_performance")
    declining_least: Least = Field(3, description="Least scored sessions in each of the two windows")

    insight_least_sessions: Least = Field(5, description="Least sessions for an insight")
    insight_high_engagement_above: Score = Field(Decimal("8.0"), description="high_engagement: average above")
    insight_low_engagement_below: Score = Field(Decimal("6.0"), description="low_engagement: average below")
    insight_balanced_talk_from: Share = Field(Decimal("0.35"), description="balanced_talk_ratio: from (included)")
    insight_balanced_talk_to: Share = Field(Decimal("0.50"), description="balanced_talk_ratio: to (included)")
    insight_balanced_talk_share: Share = Field(Decimal("0.70"), description="balanced_talk_ratio: share of sessions")
    insight_high_talk_above: Share = Field(Decimal("0.65"), description="high_talk_ratio: talk ratio above")
    insight_high_talk_share: Share = Field(Decimal("0.70"), description="high_talk_ratio: share of sessions")
    insight_frequent_checks_above: Average = Field(Decimal(8), description="frequent_understanding_checks: above")
    insight_infrequent_checks_below: Average = Field(Decimal(4), description="infrequent_understanding_checks: below")
    insight_open_questions_share: Share = Field(Decimal("0.60"), description="strong_questioning: share above")
    insight_high_visual_aids_share: Share = Field(Decimal("0.70"), description="high_visual_aids: share of sessions")
    insight_low_visual_aids_share: Share = Field(Decimal("0.30"), description="low_visual_aids: share below")
    insight_reinforcement_above: Average = Field(Decimal(10), description="positive_reinforcement: average above")
    insight_conversion_share: Share = Field(Decimal("0.85"), description="first_session_expert: share converted")
    insight_conversion_least: Least = Field(3, description="first_session_expert: least first sessions")

    @model_validator(mode="after")
    def _recent_sessions_suffice(self) -> Self:
        least = max(self.high_talk_ratio_least, self.low_checks_least)
        if self.recent_sessions < least:
            raise ValueError(
                f"TUTORWATCH_RECENT_SESSIONS ({self.recent_sessions}) must be at least the least data of the alerts "
                f"that look at them ({least}), or they could never open"
            )
        return self
