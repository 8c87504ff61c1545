"""The JSON answers, as models: what is sent, and what the OpenAPI document says of it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from rules.life import Outcome
from rules.measures import Ratio
from web import queries
from web.http.cursors import encode_cursor
from web.queries import tutor
from web.queries.evidence import NO_EVIDENCE

Number = Annotated[Decimal, PlainSerializer(float, return_type=float)]
"""A number with its exact decimals, sent as a JSON number."""


Cut = Annotated[
    dict[str, str],
    BeforeValidator(lambda whole: {field: f"/api/texts/{at}" for field, at in whole.items()}),
    Field(description="Fields whose text is cut here, and where the whole text is (as text/plain)"),
]


class _Document(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class EvidenceSession(_Document):
    """A session behind an alert or an insight; what wasn't measured is null."""

    id: UUID
    held_at: datetime
    student_name: str
    subject: str | None = Field(description="Null where the platform keeps no subjects")
    status: str
    score: Number | None
    engagement: Number | None
    talk_ratio: Number | None
    checks: Number | None
    cut: Cut


class Evidence(_Document):
    """Why an alert stands. Value and threshold are null for alerts that Tutorwatch didn't measure."""

    value: Number | None
    threshold: Number | None
    session_count: int
    sessions: list[EvidenceSession] = Field(description="The latest of them")


class Alert(_Document):
    """An alert. Names, action taken and outcome are for admins: to a tutor they are null."""

    id: UUID
    tutor_id: str
    tutor_name: str
    type: str = Field(validation_alias="alert_type")
    severity: str
    status: str = Field(description="open, acknowledged or resolved")
    title: str
    description: str
    triggered_at: datetime
    session_id: UUID | None
    acknowledged_by: str | None = Field(description="The person's name; null for a tutor")
    acknowledged_at: datetime | None
    resolved_by: str | None = Field(description="The person's name; null for a tutor, and where no person did it")
    resolved_at: datetime | None
    action_taken: str | None = Field(description="Null for a tutor")
    outcome: Outcome | Literal["duplicate"] | None = Field(
        description="`duplicate`: ended by Tutorwatch, another alert stayed open. Null for a tutor"
    )
    message_to_tutor: str | None = Field(description="What the tutor is told of the resolution")
    is_unattended: bool | None = Field(
        description="Open, and acknowledged neither at all nor since it got worse or was reopened. Null for a tutor"
    )
    not_met_since: datetime | None = Field(description="Since when the condition of an open alert isn't met")
    worse_since: datetime | None = Field(description="Since when it is worse than when it was acknowledged")
    worse: str | None = Field(description="By how much: `2 \u2192 6`; null where the value doesn't tell")
    cut: Cut
    evidence: Evidence | None = None

    @classmethod
    def of(cls, row: queries.AlertRow, evidence: queries.Evidence | None = None) -> Self:
        """The alert, with its evidence where it has been read."""
        alert = cls.model_validate(row)
        return alert if evidence is None else alert.model_copy(update={"evidence": Evidence.model_validate(evidence)})


class HistoryEntry(_Document):
    """Something that happened to an alert."""

    at: datetime
    event: str
    actor: str | None = Field(description="The person's name; null where Tutorwatch did it, or nobody is on record")
    details: str | None
    is_noticed: bool = Field(description="Another client did it; `at` is when that was noticed")


class AlertWithHistory(_Document):
    """An alert with its evidence, and what happened to it, latest first."""

    alert: Alert
    history: list[HistoryEntry]


class Alerts(_Document):
    """A page of alerts: open ones by rank (unattended first, no longer met last), then newest first."""

    alerts: list[Alert]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last one")
    previous: str | None = Field(description="Give it as `cursor` for the page before; null on the first one")

    @classmethod
    def of(
        cls,
        page: queries.AlertsPage,
        evidence: Mapping[UUID, queries.Evidence],
        bound_to: Sequence[str | None],
    ) -> Self:
        """The page, each alert with its evidence; its cursors are good for what they are bound to."""
        return cls(
            alerts=[Alert.of(row, evidence.get(row.id, NO_EVIDENCE)) for row in page.rows],
            next=encode_cursor(page.next, bound_to),
            previous=encode_cursor(page.previous, bound_to),
        )


class CriticalTutor(_Document):
    """A tutor with open critical alerts, and the one that comes first."""

    tutor_id: str
    name: str
    critical_alerts: int = Field(validation_alias="critical_count")
    alert: Alert
    cut: Cut


class CriticalAlerts(_Document):
    """The open critical alerts: all of them counted, at most five tutors, unattended first, then newest."""

    count: int = Field(validation_alias="total")
    unattended: int
    tutor_count: int
    tutors: list[CriticalTutor]


class Statistic(_Document):
    """An average or a share, and of how many; null of none."""

    value: Number | None
    count: int

    @classmethod
    def of(cls, ratio: Ratio) -> Self:
        """The statistic, rounded half up to four decimals."""
        return cls(value=ratio.rounded(4) if ratio.count else None, count=ratio.count)


class TutorStatistics(_Document):
    """A tutor's statistics of the last 30 days."""

    score: Statistic
    score_before: Statistic = Field(description="Of the 30 days before")
    engagement: Statistic
    rating: Statistic
    first_session_conversion: Statistic
    completed: int
    no_shows: int
    reschedules: int

    @classmethod
    def of(cls, statistics: tutor.TutorStatistics) -> Self:
        """The statistics, rounded."""
        return cls(
            score=Statistic.of(statistics.score.recent),
            score_before=Statistic.of(statistics.score.earlier),
            engagement=Statistic.of(statistics.engagement),
            rating=Statistic.of(statistics.rating),
            first_session_conversion=Statistic.of(statistics.conversion),
            completed=statistics.completed,
            no_shows=statistics.no_shows,
            reschedules=statistics.reschedules,
        )


class TrendDay(_Document):
    """A tutor's averages of one day (UTC); null where that day has none."""

    day: date
    sessions: int
    score: Number | None
    engagement: Number | None
    rating: Number | None


class Insight(_Document):
    """An active insight with the latest sessions that show it."""

    id: UUID
    kind: str = Field(validation_alias="insight_type")
    category: str
    text: str
    value: Number | None = Field(validation_alias="metric_value")
    detected_at: datetime
    last_confirmed_at: datetime | None
    sessions: list[EvidenceSession] = Field(validation_alias="samples")
    cut: Cut


class Session(_Document):
    """One of a tutor's sessions."""

    id: UUID
    student_name: str
    subject: str | None = Field(description="Null where the platform keeps no subjects")
    session_number: int
    held_at: datetime
    status: str
    score: Number | None
    engagement: Number | None
    talk_ratio: Number | None
    rating: int | None
    cut: Cut


class Tutor(_Document):
    """All that the tutor's page shows."""

    id: str
    name: str = Field(description="With the name that they prefer, `Sally (Sarah Chen)`")
    email: str | None = Field(description="Null for a tutor")
    member_since: date | None
    not_evaluated_since: datetime | None = Field(
        description="Since when alerts and insights may lack something that has happened; null: they are evaluated"
    )
    statistics: TutorStatistics
    figures: TutorStatistics = Field(deprecated=True, description="Deprecated: use `statistics`")
    trend: list[TrendDay]
    strengths: list[Insight]
    growth_areas: list[Insight]
    open_alerts: list[Alert]
    resolved_alerts: list[Alert] = Field(description="The latest")
    sessions: list[Session] = Field(description="The latest")
    cut: Cut
    missing: list[str] = Field(description="What isn't told, because the platform's database lacks it, in words")

    @classmethod
    def of(cls, overview: queries.TutorOverview, missing: list[str]) -> Self:
        """The tutor as the page has them."""
        statistics = TutorStatistics.of(overview.statistics)
        return cls(
            id=overview.tutor_id,
            name=overview.name,
            email=overview.email,
            member_since=overview.member_since,
            not_evaluated_since=overview.not_evaluated_since,
            statistics=statistics,
            figures=statistics,
            trend=[TrendDay.model_validate(day) for day in overview.trend],
            strengths=[Insight.model_validate(insight) for insight in overview.strengths],
            growth_areas=[Insight.model_validate(insight) for insight in overview.growth_areas],
            open_alerts=[Alert.of(found.alert, found.evidence) for found in overview.open_alerts],
            resolved_alerts=[Alert.of(alert) for alert in overview.resolved_alerts.rows],
            sessions=[Session.model_validate(session) for session in overview.sessions.rows],
            cut=overview.cut,
            missing=missing,
        )


class ProblemField(_Document):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(_Document):
    """An error, as problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ProblemField] | None = None


class AuditEntry(_Document):
    """Who did what, from where, or what was refused."""

    id: int
    at: datetime
    action: str
    outcome: str = Field(description="done or refused")
    reason: str | None = Field(description="Why it was refused")
    actor: str | None = Field(description="The user's id")
    actor_name: str | None
    actor_role: str | None = Field(description="On the command line, the role in the database")
    actor_by: str | None = Field(description="How they are known: by a cookie, a token, the command line ...")
    address: str | None
    user_id: str | None = Field(description="Whom it concerns")
    user_name: str | None
    object: str | None = Field(description="What it concerns")
    details: str | None


class AuditTrail(_Document):
    """A page of the audit trail, newest first."""

    entries: list[AuditEntry]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last one")
    previous: str | None = Field(description="Give it as `cursor` for the page before; null on the first one")

    @classmethod
    def of(cls, page: queries.AuditPage, bound_to: Sequence[str | None]) -> Self:
        """The page; its cursors are good for what they are bound to."""
        return cls(
            entries=[AuditEntry.model_validate(row) for row in page.rows],
            next=encode_cursor(page.next, bound_to),
            previous=encode_cursor(page.previous, bound_to),
        )
