"""The checks of the work: listeners, backlog, canary, dead-lettered tutors, sweep and outbox."""

from psycopg.rows import dict_row

from database.canary import IS_CHANGE, READ_CANARY, Canary, Outcome, Part, canary_from
from database.liveness import IS_FRESH
from scripts.doctor.findings import MOST_NAMED, DoctorContext, Finding, duration, listed, ok, problem

LONGEST_WAIT_SECONDS = 60
"""A change is processed within moments; after a poll that found it late, within half a minute."""
MOST_DEAD_ROWS = 100_000
LARGE_BYTES = 100 * 1024 * 1024


def listeners(context: DoctorContext) -> Finding:
    """At least one is alive, and of this program's version."""
    rows = context.rows(
        f"SELECT host || ':' || process_id, version, {IS_FRESH},"  # noqa: S608 - a constant of ours
        " extract(epoch FROM clock_timestamp() - seen_at)::float8, figures #>> '{blocked,message}'"
        " FROM tutorwatch.listeners ORDER BY seen_at DESC"
    )
    alive = [(who, version, blocked) for who, version, is_fresh, _, blocked in rows if is_fresh]
    silent = [_since_when(who, age) for who, _, is_fresh, age, _ in rows if not is_fresh]
    silent_ones = f"no heartbeat from {listed(silent)}" if silent else ""
    if not alive:
        return problem("listeners", f"none is alive{': ' * bool(silent_ones)}{silent_ones}; start `tutorwatch listen`")
    if all(blocked for _, _, blocked in alive):
        return problem("listeners", f"{len(alive)} alive, but nothing is evaluated, changes wait: {alive[0][2]}")
    others = sorted({version for _, version, _ in alive if version != context.version})
    if others:
        return problem(
            "listeners", f"of version {', '.join(others)}, not {context.version}: install the same and restart them"
        )
    names = listed([who for who, *_ in alive])
    return ok(
        "listeners", f"{len(alive)} alive ({names})" + (f"; {silent_ones}: ended without a word" if silent_ones else "")
    )


def _since_when(who: str, age: float) -> str:
    return f"{who} for {duration(age)}" if age >= 0 else f"{who} since the clock was set back"


def backlog(context: DoctorContext) -> Finding:
    """Changes are processed as they come."""
    waiting, oldest = context.row(
        "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8"  # noqa: S608
        f" FROM tutorwatch.outbox WHERE {IS_CHANGE}"
    )
    if not waiting:
        return ok("backlog", "nothing waits")
    message = f"{waiting} changes wait, the oldest for {duration(oldest)}"
    if oldest > LONGEST_WAIT_SECONDS:
        return problem("backlog", f"{message}: look into a listener's log, or start more with `tutorwatch listen`")
    return ok("backlog", message)


def canary(context: DoctorContext) -> Finding:
    """Test changes are recorded, and answered by a listener."""
    found = context.connection.cursor(row_factory=dict_row).execute(READ_CANARY.encode()).fetchone()
    known = canary_from(found or {})
    if found is None or known.due_at is None:
        return problem("canary", "its record is gone: INSERT INTO tutorwatch.canary DEFAULT VALUES")
    if known.is_ok(Part.RECORDING) is False:
        return problem(
            "canary",
            f"a test change was not recorded ({known.problem}): `tutorwatch migrate` repairs triggers and functions,"
            " `tutorwatch canary` tries again",
        )
    if known.is_overdue:
        waited = duration(known.age_seconds(Part.WAKING) or 0.0)
        return problem("canary", f"a test change has waited for its answer for {waited}: see `listeners`, `backlog`")
    return ok("canary", f"{_of_recording(known)}; {_of_waking(known)}")


def _of_recording(known: Canary) -> str:
    ago = duration(known.age_seconds(Part.RECORDING) or 0.0)
    took = f"{(known.recording_seconds or 0.0) * 1000:.0f} ms"
    messages = {
        None: "recording was not tried yet",
        Outcome.RECORDED: f"recorded in {took}, {ago} ago",
        Outcome.UNRECORDED: f"not recorded {ago} ago, and not tried since",
        Outcome.UNTRIED: f"recording can't be tried ({known.problem}), {ago} ago",
        Outcome.OFF: f"recording was not tried {ago} ago, because automation was off",
    }
    return messages[known.outcome]


def _of_waking(known: Canary) -> str:
    if known.sent_at is None or known.now is None:
        return "no test change was answered yet"
    how = "woken by NOTIFY" if known.was_woken else "found by a poll"
    ago = duration((known.now - known.sent_at).total_seconds())
    return f"answered in {(known.waking_seconds or 0.0) * 1000:.0f} ms, {how}, {ago} ago"


def failures(context: DoctorContext) -> Finding:
    """No tutor is dead-lettered: one whose generation failed so often that it is no longer tried."""
    dead_lettered = [
        tutor_id
        for (tutor_id,) in context.rows(
            "SELECT tutor_id FROM tutorwatch.failures WHERE parked_at IS NOT NULL ORDER BY parked_at, tutor_id"
        )
    ]
    (failing,) = context.row("SELECT count(*) FROM tutorwatch.failures WHERE parked_at IS NULL")
    again = f"; {failing} will be tried again" if failing else ""
    if dead_lettered:
        ids = " ".join(dead_lettered[:MOST_NAMED]) if len(dead_lettered) <= MOST_NAMED else "--all"
        return problem(
            "failures",
            f"{len(dead_lettered)} tutors dead-lettered{again}: "
            f"fix what `tutorwatch failures` shows, then `tutorwatch retry {ids}`",
        )
    return ok("failures", f"no tutor is dead-lettered{again}")


def sweep(context: DoctorContext) -> Finding:
    """The sweep over all tutors happens: what only time changes is found by nothing else."""
    rows = context.rows("SELECT extract(epoch FROM clock_timestamp() - swept_at)::float8 FROM tutorwatch.sweep")
    if not rows:
        return problem("sweep", "its record is gone: INSERT INTO tutorwatch.sweep (swept_at) VALUES (now())")
    ((age,),) = rows
    if age > 2 * context.listener.sweep_hours * 3600:
        return problem("sweep", f"the last one over all tutors was {duration(age)} ago: start `tutorwatch listen`")
    return ok("sweep", f"the last one over all tutors was {duration(age)} ago")


def outbox(context: DoctorContext) -> Finding:
    """Vacuum keeps the outbox small."""
    size, shown, dead, vacuums, waiting = context.row(
        "SELECT pg_relation_size(relid), pg_size_pretty(pg_relation_size(relid)), n_dead_tup,"
        " current_setting('autovacuum')::boolean, (SELECT count(*) FROM tutorwatch.outbox)"
        " FROM pg_stat_user_tables WHERE relid = 'tutorwatch.outbox'::regclass"
    )
    message = f"{shown}, {dead} dead rows"
    if not vacuums:
        return problem("outbox", f"{message}, and autovacuum is off: ALTER SYSTEM SET autovacuum = on, then reload")
    if dead > MOST_DEAD_ROWS:
        return problem("outbox", f"{message}: {_who_keeps_vacuum_away(context)}, then VACUUM tutorwatch.outbox")
    if size > LARGE_BYTES and waiting < MOST_DEAD_ROWS:
        return problem("outbox", f"{message} for {waiting} changes: VACUUM FULL tutorwatch.outbox in a quiet moment")
    return ok("outbox", message)


def _who_keeps_vacuum_away(context: DoctorContext) -> str:
    oldest = context.rows(
        "SELECT pid, application_name FROM pg_stat_activity"
        " WHERE xact_start < now() - %s::interval AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1",
        "1 minute",
    )
    return (
        f"end the old transaction of {oldest[0][1]!r}, pid {oldest[0][0]}" if oldest else "look for replication slots"
    )
