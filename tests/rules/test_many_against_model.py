"""Many tutors with random sessions around every limit, in one batch: each gets what the plain model says."""

from datetime import datetime, timedelta

from rules.registry import INSIGHT_RULES
from tests.rules.generating import Generation
from tests.support import model
from tests.support.chance import Chance
from tests.support.model_comparison import difference, write_many, write_prior_alert
from tests.support.platform import NOW, Platform, naive

TUTORS = 100
ROUNDS = (timedelta(0), timedelta(hours=1), timedelta(days=7), timedelta(days=20), timedelta(days=60))


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
