"""The checks of other roles and sessions: what they may create, and which locks of ours they hold."""

import time

from rules.tutor_locks import HELD, SESSION
from scripts.doctor.findings import DoctorContext, Finding, listed, ok, problem

HELD_SECONDS = 1.0
"""A commit holds the lock for milliseconds; a session that is seen with it for so long is stuck."""
LOOK_SECONDS = 0.1
LONG_HELD_SECONDS = 15
"""How long one generation waits for another of the same tutor."""
LONG_WAIT_SECONDS = 5

_CREATORS = """
    SELECT n.nspname::text, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
    FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
    WHERE n.nspname IN ('public', 'tutorwatch') AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
      AND a.grantee NOT IN (SELECT relowner FROM pg_class
                            WHERE oid IN (to_regclass('public.sessions'), to_regclass('tutorwatch.outbox')))
    ORDER BY 1, 2
"""
"""Beside the schemas' owners, and the owner of the tables, who needs it to migrate."""


def schemas(context: DoctorContext) -> Finding:
    """The roles beside the owners that may create objects where ours and the platform's are.

    In `tutorwatch` that is a problem: another function of a name of ours could be called with the owner's rights. In
    `public` nothing of ours looks anything up (see database/connections.py), so it is only mentioned: others may.
    """
    found = context.rows(_CREATORS)
    if ours := [role for schema, role in found if schema == "tutorwatch"]:
        names = ", ".join(ours)
        return problem("schemas", f"{names} may create in tutorwatch: REVOKE CREATE ON SCHEMA tutorwatch FROM {names}")
    if theirs := [role for _, role in found]:
        names = ", ".join(theirs)
        return ok(
            "schemas",
            f"{names} may create in public: nothing of ours calls what is there, but other programs may:"
            f" REVOKE CREATE ON SCHEMA public FROM {names}",
        )
    return ok("schemas", "nobody else may create in public or tutorwatch")


_AT_THE_GATE = f"""
    SELECT held.pid, held.virtualtransaction, {SESSION}
    FROM pg_locks AS held JOIN pg_stat_activity AS session USING (pid)
    WHERE held.locktype = 'relation' AND held.granted AND held.relation = to_regclass('tutorwatch.wake_gate')
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND held.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
    ORDER BY 1
"""  # noqa: S608 - a constant of ours


def waking(context: DoctorContext) -> Finding:
    """No transaction keeps the others from notifying: at each commit that recorded a change, one writer at a time does
    (migrations/sql/functions/wake_listeners.sql)."""
    give_up_at = time.monotonic() + HELD_SECONDS
    stuck = context.rows(_AT_THE_GATE)
    while stuck and time.monotonic() < give_up_at:
        time.sleep(LOOK_SECONDS)
        still = {(pid, transaction) for pid, transaction, _ in context.rows(_AT_THE_GATE)}
        stuck = [row for row in stuck if (row[0], row[1]) in still]
    if not stuck:
        return ok("waking", "no transaction keeps writers from notifying")
    pid, _, session = stuck[0]
    return problem(
        "waking",
        f"listeners learn of changes by polling (every {context.listener.poll_seconds:.0f} s) while {session} is in its"
        f" transaction: have it end, or SELECT pg_terminate_backend({pid})",
    )


_HELD_LONG = f"""
    SELECT session.pid, {SESSION}, array_agg(tutor.id ORDER BY tutor.id), count(waiting.since)
    {HELD.format(tutors="public.users")}
    LEFT JOIN LATERAL (
        SELECT min(waitstart) AS since FROM pg_locks AS other
        WHERE NOT other.granted AND other.locktype = 'advisory' AND other.database = held.database
          AND other.classid = held.classid AND other.objid = held.objid AND other.objsubid = 1
    ) AS waiting ON true
    GROUP BY 1, 2
    HAVING min(waiting.since) < clock_timestamp() - make_interval(secs => %s)
        OR min(coalesce(session.xact_start, session.state_change))
           < clock_timestamp() - make_interval(secs => %s)
    ORDER BY 4 DESC, 1
"""  # noqa: S608 - constants of ours


def tutor_locks(context: DoctorContext) -> Finding:
    """No session has a tutor's lock for long: meanwhile that tutor isn't evaluated."""
    found = context.rows(_HELD_LONG, LONG_WAIT_SECONDS, LONG_HELD_SECONDS)
    if not found:
        return ok("tutor locks", "no tutor's lock is held for long")
    pid, session, tutors, waiting = found[0]
    waits = f", a generation waits for {waiting} of them" if waiting else ""
    return problem(
        "tutor locks",
        f"{listed(tutors)} can't be evaluated{waits}: {session} has their lock: have it end, or"
        f" SELECT pg_terminate_backend({pid})",
    )
