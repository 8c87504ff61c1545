"""Many tutors with random sessions around every limit, in one batch: each gets what the plain model says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import TypeVar
from uuid import UUID

from rules.registry import INSIGHT_RULES
from tests.rules.generating import Generation
from tests.support import model
from tests.support.model_comparison import difference, write_many, write_prior_alert
from tests.support.platform import NOW, Platform, naive

TUTORS = 100
ROUNDS = (timedelta(0), timedelta(hours=1), timedelta(days=7), timedelta(days=20), timedelta(days=60))
MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


@dataclass(frozen=True)
class Leaning:
    """What a tutor's sessions have in common: few kinds of audio, so that limits are near, and how often they fail."""

    audios: list[model.Audio]
    reschedules: int


class Chance:
    """Random sessions, the same ones every time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.numbers = count(1)

    def decimal(self, *numbers: str | None) -> Decimal | None:
        number = self.random.choice(numbers)
        return None if number is None else Decimal(number)

    def audio(self) -> model.Audio:
        return model.Audio(
            talk_ratio=self.decimal("0.900", "0.651", "0.650", "0.501", "0.500", "0.420", "0.350", "0.349", None),
            engagement=self.decimal("9.0", "8.1", "8.0", "7.9", "6.1", "6.0", "5.9", "3.0", "NaN", None),
            checks=self.random.choice([0, 3, 4, 5, 7, 8, 9, 13]),
            reinforcement=self.random.choice([0, 9, 10, 11, 14]),
            open_questions=self.random.choice([0, 5, 6, 7, 12]),
            closed_questions=self.random.choice([0, 3, 4, 5]),
        )

    def leaning(self) -> Leaning:
        return Leaning([self.audio(), self.audio()], self.random.choice([0, 3, 20]))

    def age(self, days: range) -> timedelta:
        """Often at the edge of a window, else somewhere; several sessions share a moment."""
        if self.random.random() < 0.15:
            edge = timedelta(days=self.random.choice([7, 30, 60]))
            return edge + self.random.choice([-1, 0, 1]) * self.random.choice([MICROSECOND, timedelta(seconds=1)])
        return timedelta(days=self.random.choice(days), hours=self.random.choice([0, 0, 5]))

    def session(self, now: datetime, days: range, leaning: Leaning, scores: list[str]) -> model.TutoringSession:
        random = self.random
        status = random.choices(
            ["completed", "no_show_tutor", "rescheduled", "scheduled", "cancelled", "no_show_student", "in_progress"],
            [20, 1, leaning.reschedules, 1, 1, 1, 1],
        )[0]
        audio = random.choice(leaning.audios) if random.random() < 0.85 else None
        return model.TutoringSession(
            id=UUID(int=(random.getrandbits(40) << 64) | next(self.numbers)),
            student=random.choice(["ann", "ben", "cleo", "dan", "eve"]),
            scheduled_start=now - self.age(days),
            status=status,
            number=random.choices([1, 2, 3], [2, 3, 1])[0],
            completed_at=now - self.age(days) if random.random() < 0.4 else None,
            score=self.decimal(*scores, None) if status == "completed" else None,
            rescheduled_by=random.choice(["tutor", "tutor", "tutor", "student", None]),
            audio=audio,
            visual_aids=random.choice([True, audio is not None and audio.checks > 4, False, None]),
        )

    def sessions(self, now: datetime, size: int, leaning: Leaning) -> list[model.TutoringSession]:
        """Of the latest month, and fewer, better ones of the month before."""
        lately = [self.session(now, range(-2, 30), leaning, ["6.0", "6.4", "6.5", "8.0"]) for _ in range(size)]
        before = [self.session(now, range(30, 62), leaning, ["6.9", "7.5", "8.0", "9.9"]) for _ in range(size // 2)]
        return lately + before

    def prior_alerts(self) -> list[model.Alert]:
        """Of some types: open ones, resolved ones."""
        return [
            model.Alert(alert_type, resolved_at=self.random.choice([None, NOW - self.age(range(30))]))
            for alert_type in self.some([*model.COUNTING, *model.AVERAGING])
        ]

    def some(self, things: list[T]) -> list[T]:
        return [thing for thing in things if self.random.random() < 0.5]


async def test_batch_of_tutors_gets_what_the_model_says_as_time_passes(
    platform: Platform, generation: Generation
) -> None:
    chance = Chance(seed=20260615)
    tutors = {f"tutor-{number}": model.Tutor() for number in range(TUTORS)}
    for tutor_id in list(tutors)[: TUTORS // 4]:
        tutors[tutor_id].alerts = chance.prior_alerts()
        for alert in tutors[tutor_id].alerts:
            await write_prior_alert(platform, tutor_id, alert)
    leanings = {tutor_id: chance.leaning() for tutor_id in tutors}
    sessions: dict[str, list[model.TutoringSession]] = {tutor_id: [] for tutor_id in tutors}
    opened: set[str] = set()
    found: set[str] = set()

    for step, span in enumerate(ROUNDS):
        now = NOW + span
        written = {
            tutor_id: chance.sessions(now, chance.random.randint(4, 18 if step == 0 else 12), leanings[tutor_id])
            for tutor_id in tutors
            if step == 0 or chance.random.random() < 0.5
        }
        await write_many(platform, written)
        for tutor_id, tutor in tutors.items():
            sessions[tutor_id] += written.get(tutor_id, [])
            tutor.generate(sessions[tutor_id], now)

        await generation(*tutors, now=now)

        assert await difference(platform, tutors) == {}
        opened |= {alert_type for tutor in tutors.values() for alert_type in tutor.open_alerts()}
        found |= {category for tutor in tutors.values() for category in tutor.insights}
        resolved = chance.some([(tutor_id, kind) for tutor_id in tutors for kind in tutors[tutor_id].open_alerts()])
        await _resolve(platform, resolved, now)
        for tutor_id, alert_type in resolved:
            tutors[tutor_id].resolve(alert_type, now)

    assert opened == {*model.COUNTING, *model.AVERAGING}
    assert found == set(INSIGHT_RULES)
    reopened = {
        alert.alert_type
        for tutor in tutors.values()
        for alert in tutor.alerts
        if [other.alert_type for other in tutor.alerts].count(alert.alert_type) > 1
    }
    assert reopened == opened


async def _resolve(platform: Platform, resolved: list[tuple[str, str]], now: datetime) -> None:
    await platform.connection.execute(
        "UPDATE alerts SET resolved = true, resolved_at = %s"
        " FROM unnest(%s::text[], %s::text[]) AS chosen (tutor_id, alert_type)"
        " WHERE alerts.tutor_id = chosen.tutor_id AND alerts.alert_type::text = chosen.alert_type AND NOT resolved",
        [naive(now), [tutor_id for tutor_id, _ in resolved], [alert_type for _, alert_type in resolved]],
    )
