"""Consumed evidence: sessions that open no alert of a type any more, because one was based on them already."""

from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    FromClause,
    Text,
    Uuid,
    any_,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from database.column_types import NaiveUtc
from database.tables import alert_evidence, alerts, consumed_sessions
from rules.registry import ALERT_RULES
from rules.sources import TUTOR_IDS


def is_of_ours() -> ColumnElement[bool]:
    """Return whether an alert is of a type that Tutorwatch opens; as text: the platform's enum may lack some."""
    return cast(alerts.c.alert_type, Text).in_([_literal(alert_type) for alert_type in ALERT_RULES])


def _literal(alert_type: str) -> ColumnElement[str]:
    return literal_column(f"'{alert_type}'", Text)


def alert_counts() -> CTE:
    """Each tutor's numbers of resolved and of open alerts, of our types."""
    return (
        select(
            alerts.c.tutor_id,
            func.count().filter(alerts.c.resolved).label("resolved_alerts"),
            func.count().filter(~alerts.c.resolved).label("open_alerts"),
        )
        .where(alerts.c.tutor_id == any_(TUTOR_IDS), is_of_ours())
        .group_by(alerts.c.tutor_id)
    ).cte("alert_counts")


def newly_ended() -> CTE:
    """Each tutor's number of alerts that have ended since the latest generation."""
    is_open = exists().where(alerts.c.id == alert_evidence.c.alert_id, ~alerts.c.resolved)
    return (
        select(alert_evidence.c.tutor_id, func.count().label("ended_alerts"))
        .where(alert_evidence.c.tutor_id == any_(TUTOR_IDS), ~alert_evidence.c.is_over, ~is_open)
        .group_by(alert_evidence.c.tutor_id)
    ).cte("ended_alerts")


def consumed(*sources: FromClause) -> CTE:
    """Of these sessions (`id`, `tutor_id`) those that are an alert's evidence, but for the tutor's own open ones."""
    candidates = union_all(*(select(source.c.id, source.c.tutor_id) for source in sources)).cte("candidates")
    # By lists of keys: a plan kept for one tutor would read all that was ever consumed, and everybody's alerts.
    found = select(consumed_sessions).where(consumed_sessions.c.session_id == any_(_ids(candidates.c.id))).cte("used")
    open_ones = (
        select(alerts.c.id, alerts.c.tutor_id)
        .where(alerts.c.id == any_(_ids(found.c.alert_id)), ~alerts.c.resolved)
        .cte("open_with_evidence")
    )
    own_open = exists().where(open_ones.c.id == found.c.alert_id, open_ones.c.tutor_id == candidates.c.tutor_id)
    return (
        select(candidates.c.tutor_id, found.c.alert_type, found.c.session_id)
        .select_from(candidates.join(found, found.c.session_id == candidates.c.id))
        .where(~own_open)
    ).cte("consumed")


def is_consumed(alert_type: str, session: Any, *, among: CTE) -> ColumnElement[bool]:
    """Return whether the session (`id`, `tutor_id`, `at`) opens no alert of the type any more.

    Another alert was based on it: one that was resolved, deleted or moved, or another tutor's open one. A resolved
    alert from before Tutorwatch, which has no evidence, consumed all that is dated up to its resolution. `among` is
    what `consumed` gives for sessions of which this is one.
    """
    until = _consumed_until()
    return or_(
        exists().where(
            among.c.tutor_id == session.tutor_id,
            among.c.alert_type == _literal(alert_type),
            among.c.session_id == session.id,
        ),
        exists().where(
            until.c.tutor_id == session.tutor_id,
            until.c.alert_type == _literal(alert_type),
            until.c.consumed_until >= session.at,
        ),
    )


def _ids(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array(select(column).scalar_subquery(), type_=ARRAY(Uuid))


@cache
def _consumed_until() -> CTE:
    """By tutor and type, the latest resolution of an alert without evidence."""
    resolved_at = func.coalesce(alerts.c.resolved_at, alerts.c.triggered_date, type_=NaiveUtc)
    alert_type = cast(alerts.c.alert_type, Text).label("alert_type")
    return (
        select(alerts.c.tutor_id, alert_type, func.max(resolved_at, type_=NaiveUtc).label("consumed_until"))
        .where(
            alerts.c.tutor_id == any_(TUTOR_IDS),
            is_of_ours(),
            alerts.c.resolved,
            ~exists().where(alert_evidence.c.alert_id == alerts.c.id),
        )
        .group_by(alerts.c.tutor_id, alert_type)
    ).cte("consumed_until")
