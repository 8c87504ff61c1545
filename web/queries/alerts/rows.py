"""An alert as pages show it. Every read of alerts begins here, so that one place decides what a tutor sees of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Row,
    Select,
    case,
    cast,
    exists,
    func,
    literal_column,
    null,
    select,
)

from database.column_types import NaiveUtc
from database.platform import Missing
from database.tables import alert_attention, alert_evidence, alert_resolutions, alerts, users
from rules.life import is_its_evidence, is_its_resolution, is_unattended, is_worse
from rules.registry import ALERT_RULES
from web.auth.identity import Viewer
from web.http.inputs import LONGEST_TEXT
from web.queries.expressions import LONGEST_LINE, LONGEST_PARAGRAPH, cut, shown_at, shown_name
from web.queries.texts import WholeTexts, whole_texts


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert with the names of those who acted on it; a name is None where that person is gone.

    For a tutor all names are None, and so are `action_taken`, `outcome` and whether somebody attends to it.
    """

    id: UUID
    tutor_id: str
    tutor_name: str
    alert_type: str
    severity: str
    title: str
    description: str
    triggered_at: datetime
    session_id: UUID | None
    acknowledged: bool
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved: bool
    resolved_by: str | None
    resolved_at: datetime | None
    action_taken: str | None
    outcome: str | None
    message_to_tutor: str | None
    """What whoever resolved it wrote for the tutor."""
    is_unattended: bool | None
    not_met_since: datetime | None
    """Of an open alert whose condition is no longer met."""
    worse_since: datetime | None
    """Of one that is worse than when it was acknowledged."""
    shown_then: Decimal | None
    shown_now: Decimal | None

    @property
    def status(self) -> str:
        """Where the alert is in its life: open, acknowledged or resolved."""
        if self.resolved:
            return "resolved"
        return "acknowledged" if self.acknowledged else "open"

    @property
    def worse(self) -> str | None:
        """How much worse it is than when it was acknowledged: `2 → 6`; None where the value doesn't tell."""
        if self.worse_since is None or self.shown_then is None or self.shown_then == self.shown_now:
            return None
        rule = ALERT_RULES.get(self.alert_type)
        unit = rule.unit if rule else ""
        return f"{self.shown_then}{unit} \N{RIGHTWARDS ARROW} {self.shown_now}{unit}"

    @property
    def cut(self) -> WholeTexts:
        """Where the whole of each text is that was cut."""
        of_alert = ("title", "description", "acknowledged_by", "resolved_by", "action_taken", "message_to_tutor")
        return whole_texts(self, "alert", self.id, of_alert) | whole_texts(self, "user", self.tutor_id, ("tutor_name",))


_TUTOR = users.alias("tutor")
_ACKNOWLEDGER = users.alias("acknowledger")
_RESOLVER = users.alias("resolver")


def select_alerts(
    viewer: Viewer, missing: Missing, *more: ColumnElement[Any], among: FromClause | None = None
) -> Select[Any]:
    """The query that reads alerts, and what is asked for besides; without what a tutor may not see, for a tutor.

    `among` has the ids of the alerts that are meant. It comes first: of more than eight tables, the server joins in the
    order in which they are written.
    """
    meant = alerts if among is None else among.join(alerts, alerts.c.id == among.c.id)
    joined = meant.join(_TUTOR, _TUTOR.c.id == alerts.c.tutor_id).outerjoin(alert_resolutions, is_its_resolution())
    joined = joined.outerjoin(alert_evidence, is_its_evidence())
    joined = joined.outerjoin(alert_attention, alert_attention.c.alert_id == alerts.c.id)
    if viewer is Viewer.ADMIN:
        joined = joined.outerjoin(_ACKNOWLEDGER, _ACKNOWLEDGER.c.id == alerts.c.acknowledged_by)
        joined = joined.outerjoin(_RESOLVER, _RESOLVER.c.id == alert_resolutions.c.resolved_by)
    return select(
        alerts.c.id,
        alerts.c.tutor_id,
        shown_name(_TUTOR, missing).label("tutor_name"),
        alerts.c.alert_type,
        alerts.c.severity,
        cut(alerts.c.title, LONGEST_LINE).label("title"),
        cut(alerts.c.description, LONGEST_PARAGRAPH).label("description"),
        shown_at(alerts.c.triggered_date).label("triggered_at"),
        alerts.c.session_id,
        alerts.c.acknowledged,
        _private(cut(_ACKNOWLEDGER.c.name, LONGEST_LINE), viewer).label("acknowledged_by"),
        shown_at(alerts.c.acknowledged_at).label("acknowledged_at"),
        alerts.c.resolved,
        _private(cut(_RESOLVER.c.name, LONGEST_LINE), viewer).label("resolved_by"),
        shown_at(alerts.c.resolved_at).label("resolved_at"),
        _private(cut(alerts.c.action_taken, LONGEST_TEXT), viewer).label("action_taken"),
        _private(alert_resolutions.c.outcome, viewer).label("outcome"),
        cut(alert_resolutions.c.message_to_tutor, LONGEST_TEXT).label("message_to_tutor"),
        _private(is_unattended(), viewer).label("is_unattended"),
        case((~alerts.c.resolved, alert_evidence.c.not_met_since)).label("not_met_since"),
        _private(case((_is_worse_now(), alert_attention.c.worse_since)), viewer).label("worse_since"),
        _private(alert_attention.c.shown, viewer).label("shown_then"),
        alert_evidence.c.shown.label("shown_now"),
        *more,
    ).select_from(joined)


def _private(column: ColumnElement[Any], viewer: Viewer) -> ColumnElement[Any]:
    """What admins write for each other: the column for them, and for a tutor NULL in its place."""
    return column if viewer is Viewer.ADMIN else cast(null(), column.type)


def _is_worse_now() -> ColumnElement[bool]:
    return ~alerts.c.resolved & is_worse() & alert_evidence.c.not_met_since.is_(None)


def is_no_longer_met() -> ColumnElement[bool]:
    """Return whether an open alert's condition is no longer met."""
    # With the condition of the index alert_evidence_not_met; the evidence of an open alert isn't over.
    is_not_met = alert_evidence.c.not_met_since.is_not(None) & ~alert_evidence.c.is_over
    lapsed = exists().where(is_its_evidence(), is_not_met).correlate(alerts)
    return ~alerts.c.resolved & lapsed


def rank() -> ColumnElement[int]:
    """An open alert's place among others: 2 where nobody attends to it, 0 where it is no longer met, else 1."""
    unattended, attended, lapsed = (literal_column(str(value), Integer) for value in (2, 1, 0))
    return case((is_no_longer_met(), lapsed), (is_unattended(), unattended), else_=attended)


def resolved_when() -> ColumnElement[datetime]:
    """When an alert was resolved; where another client didn't say, when it was triggered."""
    return func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date, type_=NaiveUtc)


def newest_first() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The order of alerts unless they are ranked."""
    return alerts.c.triggered_date.desc(), alerts.c.id.desc()


def to_alert(row: Row[Any]) -> AlertRow:
    """The alert of a row of `select_alerts`."""
    return AlertRow(
        id=row.id,
        tutor_id=row.tutor_id,
        tutor_name=row.tutor_name,
        alert_type=row.alert_type,
        severity=row.severity,
        title=row.title,
        description=row.description,
        triggered_at=row.triggered_at,
        session_id=row.session_id,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at=row.acknowledged_at,
        resolved=row.resolved,
        resolved_by=row.resolved_by,
        resolved_at=row.resolved_at,
        action_taken=row.action_taken,
        outcome=row.outcome,
        message_to_tutor=row.message_to_tutor,
        is_unattended=row.is_unattended,
        not_met_since=row.not_met_since,
        worse_since=row.worse_since,
        shown_then=row.shown_then,
        shown_now=row.shown_now,
    )
