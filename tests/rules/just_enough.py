"""For each rule sessions that are just enough for it to hold."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.platform import Platform


@dataclass(frozen=True)
class Kind:
    """Sessions of which `least` are just enough for a rule."""

    rule: str
    least: int
    values: dict[str, Any]
    window: timedelta = timedelta(days=30)
    before: dict[str, Any] = field(default_factory=dict)
    """What the rule needs besides: three sessions of these values, 45 days ago."""

    async def write(self, platform: Platform, tutor: str, moments: list[datetime]) -> list[UUID]:
        """One such session at each moment, each with a student of its own; latest first."""
        async with platform.connection.pipeline():
            for _ in range(3 if self.before else 0):
                await platform.session(tutor, days_ago=45, **self.before)
            ids = [
                await platform.session(tutor, student=f"{tutor}-student-{index}", at=moment, **self.values)
                for index, moment in enumerate(moments)
            ]
            if self.rule == "first_session_expert":
                for index in range(len(moments)):
                    await platform.session(
                        tutor, student=f"{tutor}-student-{index}", days_ago=90, number=2, status="scheduled"
                    )
        return ids


ALERTS = [
    Kind("poor_first_session", 1, {"number": 1, "score": "6.4"}, window=timedelta(days=7)),
    Kind("no_show_pattern", 2, {"status": "no_show_tutor"}),
    Kind("high_talk_ratio", 5, {"audio": {"tutor_talk_ratio": "0.651"}}),
    Kind("low_understanding_checks", 5, {"audio": {"tutor_checks_understanding_count": 3}}),
    Kind("high_reschedule_rate", 5, {"status": "rescheduled", "rescheduled_by": "tutor"}),
    Kind("declining_performance", 3, {"score": "6.0"}, before={"score": "9.0"}),
]
INSIGHTS = [
    Kind("high_engagement", 5, {"audio": {"student_engagement_score": "8.1"}}),
    Kind("balanced_talk_ratio", 5, {"audio": {"tutor_talk_ratio": "0.350"}}),
    Kind("frequent_understanding_checks", 5, {"audio": {"tutor_checks_understanding_count": 9}}),
    Kind("strong_questioning", 5, {"audio": {"open_ended_questions": 7, "closed_ended_questions": 4}}),
    Kind("high_visual_aids", 5, {"video": {"tutor_uses_visual_aids": True}}),
    Kind("positive_reinforcement", 5, {"audio": {"tutor_positive_reinforcement_count": 11}}),
    Kind("first_session_expert", 3, {"number": 1, "score": "9.0"}),
    Kind("low_engagement", 5, {"audio": {"student_engagement_score": "5.9"}}),
    Kind("high_talk_ratio", 5, {"audio": {"tutor_talk_ratio": "0.651"}}),
    Kind("infrequent_understanding_checks", 5, {"audio": {"tutor_checks_understanding_count": 3}}),
    Kind("low_visual_aids", 5, {"video": {"tutor_uses_visual_aids": False}}),
]
