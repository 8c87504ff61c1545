"""The one unit of work: brings the alerts and insights of some tutors up to date."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import ARRAY, String, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from database.errors import TransientError, translating_errors
from database.platform import NO_RULES, RuleNames
from rules.decisions import decide_alerts, decide_insights
from rules.evidence import load_alert_sessions, load_insight_samples
from rules.statistics import load_statistics
from rules.store import EndedInsight, NewInsight, OpenedAlert, notice_ended, store_alerts, store_insights
from rules.thresholds import Thresholds
from rules.tutor_locks import LOCK_SEED


@dataclass(frozen=True, slots=True)
class Generated:
    """The changes of one generation, beyond refreshing what was there."""

    alerts: list[OpenedAlert] = field(default_factory=list)
    insights: list[NewInsight] = field(default_factory=list)
    ended: list[EndedInsight] = field(default_factory=list)

    def __add__(self, other: "Generated") -> "Generated":
        return Generated(self.alerts + other.alerts, self.insights + other.insights, self.ended + other.ended)


async def generate(
    conn: AsyncConnection,
    tutor_ids: Sequence[str],
    now: datetime,
    thresholds: Thresholds,
    *,
    off: RuleNames = NO_RULES,
) -> Generated:
    """Return what changed by bringing the alerts and insights of these tutors up to date; the caller commits.

    Rules that are `off`, because the platform has no label for them, open and write nothing.

    Idempotent, and safe beside itself: until the transaction ends it holds an advisory lock per tutor, so
    that of two generations of one tutor the later reads what the earlier wrote, and newer sessions. The
    transaction must be READ COMMITTED, or its snapshot would be older than its locks. Ids that are no
    user's are left out. A handful of statements, however many tutors.
    """
    present = await _lock_tutors(conn, tutor_ids)
    if not present:
        return Generated()
    statistics = await load_statistics(conn, present, now, thresholds)
    alerts = [
        decided
        for tutor in statistics
        for decided in decide_alerts(tutor, thresholds)
        if decided.rule.name not in off.alerts
    ]
    insights = [
        decided
        for tutor in statistics
        for decided in decide_insights(tutor, thresholds)
        if decided.verdict.is_met and decided.rule.name not in off.insights
    ]
    met = (decided.key for decided in alerts if decided.verdict.is_met)
    evidence = await load_alert_sessions(conn, met, now, thresholds)
    samples = await load_insight_samples(conn, (decided.key for decided in insights), now, thresholds)

    await notice_ended(conn, [tutor.tutor_id for tutor in statistics if tutor.ended_alerts])
    with_open = [tutor.tutor_id for tutor in statistics if tutor.open_alerts]
    opened = await store_alerts(conn, alerts, evidence, now, with_open_alerts=with_open)
    new, ended = await store_insights(conn, present, insights, samples, now)
    return Generated(opened, new, ended)


async def generate_each(
    conn: AsyncConnection,
    tutor_ids: Sequence[str],
    now: datetime,
    thresholds: Thresholds,
    *,
    last_attempt: bool = False,
    off: RuleNames = NO_RULES,
) -> tuple[Generated, dict[str, Exception]]:
    """Like `generate`, but a tutor that fails doesn't stop the others: returns the failures by tutor id.

    A batch that fails is rolled back to its start and halved, until each failing tutor stands alone.
    Raises TransientError, for which the whole transaction is to be tried again; on the `last_attempt` such
    an error counts as a failure of the tutor it sticks to.
    """
    try:
        with translating_errors():
            async with conn.begin_nested():
                return await generate(conn, tutor_ids, now, thresholds, off=off), {}
    except TransientError as error:
        if not last_attempt or conn.invalidated:
            raise
        failure: Exception = error
    except Exception as error:  # noqa: BLE001 - whatever a rule raises is recorded with its tutor
        failure = error
    if len(tutor_ids) <= 1:
        return Generated(), dict.fromkeys(tutor_ids, failure)
    middle = len(tutor_ids) // 2
    each = partial(generate_each, conn, now=now, thresholds=thresholds, last_attempt=last_attempt, off=off)
    first, first_failures = await each(tutor_ids[:middle])
    second, second_failures = await each(tutor_ids[middle:])
    return first + second, first_failures | second_failures


WRITE_LOCK_WAIT = "500ms"
"""How long our writes wait for a client's row lock: half of `deadlock_timeout` (1 s by default), so that in a deadlock
with a client it is we who give up. The exception: a client checks for deadlocks once, when it has waited that long. One
that has waited for us for at least half of that when we begin to wait finds the deadlock first, and fails."""

FEW_TUTORS = 10
"""Up to so many tutors a kept plan, made for about ten, serves well and saves the planning (more than half of one
tutor's generation); for larger batches only a plan made for them is good."""

# Locks in the order of their keys, so that two batches with the same tutors wait for each other instead of
# deadlocking. The filter is evaluated once, before the users are read. Then waits become short: from here
# on it is clients whom we could meet. And plans are kept or made anew, as the size of the batch asks. The commit isn't
# waited for to reach the disk: should the server crash before it has, the changes are back in the outbox, too. Nor do
# our own writes go into the outbox (migrations/sql/functions/record_results.sql).
_LOCK_TUTORS = text("""
    WITH locked AS MATERIALIZED (
        SELECT count(pg_advisory_xact_lock(keys.key)::text) AS locks
        FROM (SELECT DISTINCT hashtextextended(tutor_id, :seed) AS key
              FROM unnest(:tutor_ids) AS tutor_id ORDER BY key) AS keys
    )
    SELECT users.id, set_config('lock_timeout', :write_lock_wait, true), set_config('plan_cache_mode', :plans, true),
           set_config('synchronous_commit', 'off', true), set_config('tutorwatch.generating', 'on', true)
    FROM public.users
    WHERE users.id = ANY(:tutor_ids) AND (SELECT locks FROM locked) > 0
""").bindparams(bindparam("tutor_ids", type_=ARRAY(String)))


async def _lock_tutors(conn: AsyncConnection, tutor_ids: Sequence[str]) -> list[str]:
    """Locks the tutors until the transaction ends; returns the ids that are users."""
    ids = sorted(set(tutor_ids))
    plans = "force_generic_plan" if len(ids) <= FEW_TUTORS else "force_custom_plan"
    values = {"tutor_ids": ids, "seed": LOCK_SEED, "write_lock_wait": WRITE_LOCK_WAIT, "plans": plans}
    return [row.id for row in await conn.execute(_LOCK_TUTORS, values)]
