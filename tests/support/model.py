"""The rules a second time, plainly: loops over one tutor's sessions, in fractions, without a database.

Written from the specification, to be compared with what generation leaves in the database. A tutor remembers every
alert and insight they ever had.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from uuid import UUID

AVERAGING = ("high_talk_ratio", "low_understanding_checks", "declining_performance")
COUNTING = ("poor_first_session", "no_show_pattern", "high_reschedule_rate")


Findings = dict[str, tuple[list[UUID], Decimal, bool]]
"""By alert type: the sessions behind the alert, its value, and whether it may open."""


@dataclass(frozen=True)
class Audio:
    """A session's audio row."""

    talk_ratio: Decimal | None = None
    engagement: Decimal | None = None
    checks: int = 0
    reinforcement: int = 0
    open_questions: int = 0
    closed_questions: int = 0


@dataclass(frozen=True)
class TutoringSession:
    """A session with its metrics; `visual_aids` is None where there is no video row."""

    id: UUID
    student: str
    scheduled_start: datetime
    status: str = "completed"
    number: int = 2
    completed_at: datetime | None = None
    score: Decimal | None = None
    rescheduled_by: str | None = None
    audio: Audio | None = None
    visual_aids: bool | None = None

    @property
    def date(self) -> datetime:
        """When it took place, if it did."""
        return self.completed_at or self.scheduled_start


@dataclass
class Alert:
    """An alert of one type; `sessions` is None where no evidence was ever stored."""

    alert_type: str
    sessions: list[UUID] | None = None
    counted: set[UUID] = field(default_factory=set)
    value: Decimal | None = None
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    opened_at: datetime | None = None
    names: UUID | None = None
    """The session it names: only `poor_first_session` does."""
    id: UUID | None = None
    """Its row in the database, once that has been seen."""
    key: int = field(default_factory=itertools.count().__next__)
    """Its own, also in copies."""

    def is_open_of(self, alert_type: str) -> bool:
        """Whether it is open, and of that type."""
        return self.resolved_at is None and self.alert_type == alert_type

    def consumed_until(self, at: datetime) -> bool:
        """Whether it is a resolved one from before Tutorwatch, which consumed all that is dated up to then."""
        return self.resolved_at is not None and self.sessions is None and at <= self.resolved_at


@dataclass(frozen=True)
class Insight:
    """What an insight says, or said while it was active."""

    value: Decimal
    samples: list[UUID]
    found_at: datetime | None = None
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass
class Tutor:
    """One tutor's alerts and insights, kept right by `generate`; `insights` are the active ones, by category."""

    alerts: list[Alert] = field(default_factory=list)
    insights: dict[str, Insight] = field(default_factory=dict)
    ended: list[tuple[str, Insight]] = field(default_factory=list)
    ledger: dict[tuple[str, UUID], set[int]] = field(default_factory=dict)
    """By type and session, the keys of the alerts that it was evidence of, deleted ones included."""
    _ledgers: list[dict[tuple[str, UUID], set[int]]] = field(default_factory=list, repr=False)

    def open_alerts(self) -> dict[str, Alert]:
        """The open alerts by type."""
        return {alert.alert_type: alert for alert in self.alerts if alert.resolved_at is None}

    def resolve(self, alert_type: str, at: datetime) -> None:
        """A person resolves the open alert of that type, and acknowledges it by the same act."""
        alert = self.open_alerts()[alert_type]
        alert.resolved_at = at
        alert.acknowledged_at = alert.acknowledged_at or at

    def generate(self, sessions: Sequence[TutoringSession], now: datetime, others: Sequence["Tutor"] = ()) -> None:
        """Brings alerts and insights up to date; `others` may have had some of the sessions before."""
        self._ledgers = [self.ledger, *(other.ledger for other in others)]
        for alert_type in (*COUNTING, *AVERAGING):
            self._end_duplicates([alert for alert in self.alerts if alert.is_open_of(alert_type)], now)
        for alert_type, (behind, value, may_open) in self._findings(sessions, now).items():
            alert = self.open_alerts().get(alert_type)
            if alert is None:
                if not may_open:
                    continue
                alert = Alert(alert_type, opened_at=now)
                self.alerts.append(alert)
            alert.sessions = behind
            alert.counted |= set(behind)
            for session_id in behind:
                self.ledger.setdefault((alert_type, session_id), set()).add(alert.key)
            alert.value = value
            alert.names = behind[0] if alert_type == "poor_first_session" else None
        self._keep_insights(_insights(sessions, now), now)

    def _end_duplicates(self, alerts: list["Alert"], now: datetime) -> None:
        """An acknowledged one stays before an untouched one, else the oldest."""
        alerts.sort(key=lambda alert: (alert.acknowledged_at is None, alert.opened_at, alert.id))
        for alert in alerts[1:]:
            alert.resolved_at, alert.sessions, alert.value = now, [], None
            alert.counted.clear()
            for ledger in self._ledgers:
                for keys in ledger.values():
                    keys.discard(alert.key)

    def _keep_insights(self, found: dict[str, Insight], now: datetime) -> None:
        for category in sorted(self.insights.keys() - found.keys()):
            self.ended.append((category, replace(self.insights.pop(category), ended_at=now)))
        for category, insight in found.items():
            if active := self.insights.get(category):
                self.insights[category] = replace(insight, found_at=active.found_at, confirmed_at=now)
            else:
                self.insights[category] = replace(insight, found_at=now)

    def _is_counted(self, alert_type: str, session: TutoringSession, at: datetime) -> bool:
        own_open = {alert.key for alert in self.alerts if alert.resolved_at is None}
        keys: set[int] = set().union(*(ledger.get((alert_type, session.id), set()) for ledger in self._ledgers))
        from_before = any(alert.alert_type == alert_type and alert.consumed_until(at) for alert in self.alerts)
        return bool(keys - own_open) or from_before

    def _findings(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        return {
            **self._poor_first_sessions(sessions, now),
            **self._missed(sessions, now),
            **self._high_talk(sessions, now),
            **self._low_checks(sessions, now),
            **self._decline(sessions, now),
        }

    def _poor_first_sessions(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        poor = [
            session
            for session in _completed(sessions, now - timedelta(days=7))
            if session.number == 1 and session.score is not None and session.score < Decimal("6.5")
        ]
        if not poor:
            return {}
        new = any(not self._is_counted("poor_first_session", session, session.date) for session in poor)
        return {"poor_first_session": (_ids(poor), min(map(_score, poor)), new)}

    def _missed(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        no_shows, reschedules = [], []
        for session in sorted(sessions, key=lambda session: (session.scheduled_start, session.id), reverse=True):
            if session.scheduled_start < now - timedelta(days=30):
                continue
            if session.status == "no_show_tutor":
                no_shows.append(session)
            if session.status == "rescheduled" and session.rescheduled_by == "tutor":
                reschedules.append(session)
        found: Findings = {}
        for alert_type, least, missed in (("no_show_pattern", 2, no_shows), ("high_reschedule_rate", 5, reschedules)):
            new = any(not self._is_counted(alert_type, session, session.scheduled_start) for session in missed)
            if len(missed) >= least:
                found[alert_type] = (_ids(missed), Decimal(len(missed)), new)
        return found

    def _high_talk(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        talked = [session for session in _with_audio(sessions, now) if _audio(session).talk_ratio is not None]
        talked = self._unconsumed_of_the_recent_ten("high_talk_ratio", talked)
        if len(talked) < 5:
            return {}
        share = _share(talked, lambda session: _talk_ratio(session) > Decimal("0.65")) / 100
        if share < Fraction(70, 100):
            return {}
        return {"high_talk_ratio": (_ids(talked), _half_up(share, 4), True)}

    def _low_checks(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        checked = self._unconsumed_of_the_recent_ten("low_understanding_checks", _with_audio(sessions, now))
        if len(checked) < 5:
            return {}
        average = _average(_audio(session).checks for session in checked)
        if average >= 4:
            return {}
        return {"low_understanding_checks": (_ids(checked), _half_up(average, 4), True)}

    def _decline(self, sessions: Sequence[TutoringSession], now: datetime) -> Findings:
        start = now - timedelta(days=30)
        scored = [session for session in _completed(sessions, now - timedelta(days=60)) if session.score is not None]
        before = [session for session in scored if session.date < start]
        lately = [
            session
            for session in scored
            if session.date >= start and not self._is_counted("declining_performance", session, session.date)
        ]
        if len(lately) < 3 or len(before) < 3:
            return {}
        now_average, old_average = _average(map(_score, lately)), _average(map(_score, before))
        if old_average == 0 or (old_average - now_average) / old_average <= Fraction(15, 100):
            return {}
        fall = (old_average - now_average) / old_average
        return {"declining_performance": (_ids(lately), _half_up(fall, 4), True)}

    def _unconsumed_of_the_recent_ten(self, alert_type: str, sessions: list[TutoringSession]) -> list[TutoringSession]:
        return [session for session in sessions[:10] if not self._is_counted(alert_type, session, session.date)]


def _insights(sessions: Sequence[TutoringSession], now: datetime) -> dict[str, Insight]:
    inside = _in_window(sessions, now)
    heard = [session for session in inside if session.audio is not None]
    return {
        **_engagement_insights([session for session in heard if _has_engagement(session)]),
        **_talk_insights([session for session in heard if _audio(session).talk_ratio is not None]),
        **_checks_insights(heard),
        **_reinforcement_insights(heard),
        **_question_insights(heard),
        **_visual_insights([session for session in inside if session.visual_aids is not None]),
        **_first_session_insights([session for session in inside if session.number == 1], sessions),
    }


def _engagement_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    if len(sessions) < 5:
        return {}
    average = _average(map(_engagement, sessions))
    if average > 8:
        return {"high_engagement": _insight(average, sessions, lambda session: _engagement(session) > 8)}
    if average < 6:
        return {"low_engagement": _insight(average, sessions, lambda session: _engagement(session) < 6)}
    return {}


def _talk_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    if len(sessions) < 5:
        return {}

    def is_balanced(session: TutoringSession) -> bool:
        return Decimal("0.35") <= _talk_ratio(session) <= Decimal("0.50")

    def is_high(session: TutoringSession) -> bool:
        return _talk_ratio(session) > Decimal("0.65")

    found = {}
    if _share(sessions, is_balanced) >= 70:
        found["balanced_talk_ratio"] = _insight(_share(sessions, is_balanced), sessions, is_balanced)
    if _share(sessions, is_high) >= 70:
        found["high_talk_ratio"] = _insight(_share(sessions, is_high), sessions, is_high)
    return found


def _checks_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    if len(sessions) < 5:
        return {}
    average = _average(_audio(session).checks for session in sessions)
    if average > 8:
        shown = _insight(average, sessions, lambda session: _audio(session).checks > 8)
        return {"frequent_understanding_checks": shown}
    if average < 4:
        shown = _insight(average, sessions, lambda session: _audio(session).checks < 4)
        return {"infrequent_understanding_checks": shown}
    return {}


def _reinforcement_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    if len(sessions) < 5:
        return {}
    average = _average(_audio(session).reinforcement for session in sessions)
    if average <= 10:
        return {}
    shown = _insight(average, sessions, lambda session: _audio(session).reinforcement > 10)
    return {"positive_reinforcement": shown}


def _question_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    asked = sum(_asked(session) for session in sessions)
    if len(sessions) < 5 or asked == 0:
        return {}
    share = 100 * Fraction(sum(_audio(session).open_questions for session in sessions), asked)
    if share <= 60:
        return {}

    def asks_openly(session: TutoringSession) -> bool:
        asked = _asked(session)
        return asked > 0 and Fraction(_audio(session).open_questions, asked) > Fraction(60, 100)

    return {"strong_questioning": _insight(share, sessions, asks_openly)}


def _visual_insights(sessions: list[TutoringSession]) -> dict[str, Insight]:
    if len(sessions) < 5:
        return {}
    share = _share(sessions, lambda session: session.visual_aids is True)
    if share >= 70:
        return {"high_visual_aids": _insight(share, sessions, lambda session: session.visual_aids is True)}
    if share < 30:
        return {"low_visual_aids": _insight(share, sessions, lambda session: session.visual_aids is False)}
    return {}


def _first_session_insights(first: list[TutoringSession], every: Sequence[TutoringSession]) -> dict[str, Insight]:
    def is_converted(session: TutoringSession) -> bool:
        return any(
            other.student == session.student and other.number > 1 and other.status != "cancelled" for other in every
        )

    if len(first) < 3 or _share(first, is_converted) < 85:
        return {}
    return {"first_session_expert": _insight(_share(first, is_converted), first, is_converted)}


def _insight(value: Fraction, sessions: list[TutoringSession], shows: Callable[[TutoringSession], bool]) -> Insight:
    return Insight(_half_up(value, 2), _ids([session for session in sessions if shows(session)][:3]))


def _completed(sessions: Iterable[TutoringSession], start: datetime) -> list[TutoringSession]:
    """Completed sessions dated since `start`, the latest first."""
    inside = [session for session in sessions if session.status == "completed" and session.date >= start]
    return sorted(inside, key=lambda session: (session.date, session.id), reverse=True)


def _in_window(sessions: Iterable[TutoringSession], now: datetime) -> list[TutoringSession]:
    return _completed(sessions, now - timedelta(days=30))


def _with_audio(sessions: Iterable[TutoringSession], now: datetime) -> list[TutoringSession]:
    return [session for session in _in_window(sessions, now) if session.audio is not None]


def _audio(session: TutoringSession) -> Audio:
    assert session.audio is not None
    return session.audio


def _talk_ratio(session: TutoringSession) -> Decimal:
    talk_ratio = _audio(session).talk_ratio
    assert talk_ratio is not None
    return talk_ratio


def _has_engagement(session: TutoringSession) -> bool:
    engagement = _audio(session).engagement
    return engagement is not None and not engagement.is_nan()


def _engagement(session: TutoringSession) -> Decimal:
    engagement = _audio(session).engagement
    assert engagement is not None
    return engagement


def _score(session: TutoringSession) -> Decimal:
    assert session.score is not None
    return session.score


def _asked(session: TutoringSession) -> int:
    return _audio(session).open_questions + _audio(session).closed_questions


def _average(numbers: Iterable[Decimal | int]) -> Fraction:
    fractions = [Fraction(number) for number in numbers]
    return sum(fractions, Fraction(0)) / len(fractions)


def _share(sessions: list[TutoringSession], shows: Callable[[TutoringSession], bool]) -> Fraction:
    """In percent."""
    return 100 * Fraction(sum(1 for session in sessions if shows(session)), len(sessions))


def _ids(sessions: list[TutoringSession]) -> list[UUID]:
    return [session.id for session in sessions]


def _half_up(number: Fraction, places: int) -> Decimal:
    return Decimal(floor(number * 10**places + Fraction(1, 2))).scaleb(-places)
