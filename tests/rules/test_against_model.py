"""Random histories of a tutor: generation leaves in the database what the plain model says."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.rules.generating import Generation
from tests.support import model
from tests.support.model_comparison import difference, write, write_prior_alert
from tests.support.model_sessions import (
    EARLIER,
    MICROSECOND,
    Likeness,
    When,
    ages,
    completed,
    first_sessions,
    lately,
    missed,
    moments,
    others,
)
from tests.support.platform import NOW, Platform

ALERT_TYPES = model.COUNTING + model.AVERAGING
_examples = itertools.count(1)


@dataclass(frozen=True)
class Write:
    """A client writes alike sessions."""

    likeness: Likeness
    sessions: list[When]


@dataclass(frozen=True)
class Prior:
    """An alert from before Tutorwatch, without evidence."""

    alert_type: str
    resolved_age: timedelta | None


@dataclass(frozen=True)
class Round:
    """What happens between two generations."""

    writes: list[Write]
    removed: list[int]
    span: timedelta
    resolved: list[str]


resolutions = st.lists(st.sampled_from(ALERT_TYPES), unique=True, max_size=6)


@st.composite
def histories(draw: st.DrawFn) -> list[Round]:
    """Rounds of a tutor whose sessions are of a few kinds only: enough of each to reach a limit.

    Before the last 30 days they are mostly of another kind, so that the two halves differ.
    """
    main, earlier = draw(completed), draw(completed)
    recent = [main, draw(completed), draw(first_sessions), draw(missed), draw(others)]
    some = st.one_of(
        st.builds(Write, st.sampled_from(recent), moments(lately)),
        st.builds(Write, st.sampled_from([main, earlier]), moments(ages)),
    )
    spans = st.sampled_from(
        [timedelta(0), MICROSECOND, timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30)]
    )
    first = st.builds(
        Round,
        writes=st.tuples(
            st.builds(Write, st.just(main), moments(lately, least=5, most=12)),
            st.builds(Write, st.just(earlier), moments(lately.map(lambda age: age + EARLIER), least=3)),
            some,
        ).map(list),
        removed=st.builds(list),
        span=st.just(timedelta(0)),
        resolved=resolutions,
    )
    later = st.builds(
        Round,
        writes=st.lists(some, max_size=2),
        removed=st.lists(st.integers(0, 100), max_size=1),
        span=spans,
        resolved=resolutions,
    )
    return [draw(first), *draw(st.lists(later, min_size=2, max_size=3))]


priors = st.lists(
    st.builds(Prior, st.sampled_from(ALERT_TYPES), st.one_of(st.none(), ages)),
    max_size=2,
    unique_by=lambda prior: (prior.alert_type, prior.resolved_age is None),
)


@dataclass
class History:
    """Plays the steps to the database and to the model, for a tutor of the example's own."""

    platform: Platform
    generation: Generation
    example: int = field(default_factory=lambda: next(_examples))
    now: datetime = NOW
    sessions: list[model.TutoringSession] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    seen: set[str] = field(default_factory=set)
    expected: model.Tutor = field(default_factory=model.Tutor)

    @property
    def tutor(self) -> str:
        return f"tutor-{self.example}"

    async def begin(self, alerts: list[Prior]) -> None:
        await self.platform.user(self.tutor)
        for prior in alerts:
            resolved_at = None if prior.resolved_age is None else NOW - prior.resolved_age
            alert = model.Alert(prior.alert_type, resolved_at=resolved_at)
            await write_prior_alert(self.platform, self.tutor, alert)
            self.expected.alerts.append(alert)

    async def play(self, played: Round) -> None:
        """Sessions come and go, time passes; then a generation, the comparison, and what people do about it."""
        for written in played.writes:
            sessions = [self._session(written.likeness, when) for when in written.sessions]
            await write(self.platform, self.tutor, sessions)
            self.sessions += sessions
        for index in played.removed:
            if self.sessions:
                gone = self.sessions.pop(index % len(self.sessions))
                await self.platform.connection.execute("DELETE FROM sessions WHERE id = %s", [gone.id])
        self.now += played.span

        await self.generation(self.tutor, now=self.now)
        self.expected.generate(self.sessions, self.now)
        assert await difference(self.platform, {self.tutor: self.expected}) == {}

        self.seen |= {f"alert {alert_type}" for alert_type in self.expected.open_alerts()}
        self.seen |= {f"insight {category}" for category in self.expected.insights}
        for alert_type in played.resolved:
            if alert_type in self.expected.open_alerts():
                await self.generation.resolve(alert_type, tutor=self.tutor, now=self.now)
                self.expected.resolve(alert_type, self.now)
                self.seen.add(f"resolved {alert_type}")

    def _session(self, likeness: Likeness, when: When) -> model.TutoringSession:
        return model.TutoringSession(
            # In the order that Hypothesis chose, and new whenever it plays the same steps again.
            id=UUID(int=(when.rank << 96) | (next(self.numbers) << 64) | self.example),
            student=when.student,
            scheduled_start=self.now - when.scheduled_age,
            completed_at=None if when.completed_age is None else self.now - when.completed_age,
            **vars(likeness),
        )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=priors, rounds=histories())
async def test_generation_leaves_what_the_model_says(
    before: list[Prior], rounds: list[Round], platform: Platform, generation: Generation
) -> None:
    history = History(platform, generation)
    await history.begin(before)
    for played in rounds:
        await history.play(played)
    for seen in sorted(history.seen):
        event(seen)
