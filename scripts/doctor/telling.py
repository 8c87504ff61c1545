"""The checks of telling people: channels and deliveries."""

from scripts.doctor.findings import DoctorContext, Finding, duration, listed, ok, problem
from telling.channel_store import BY_A_PERSON

LONGEST_WAIT_SECONDS = 600
"""A delivery whose first attempt fails is tried again after seconds, then after five minutes."""


def channels(context: DoctorContext) -> Finding:
    """No channel has been switched off by its target, and what is to be told doesn't wait for long."""
    rows = context.rows("SELECT name, is_on, switched_off_because FROM tutorwatch.channels ORDER BY name")
    if not rows:
        return ok("channels", "there are none: nobody is told of alerts (`tutorwatch channel add`)")
    off = [f"{name} ({why})" for name, is_on, why in rows if not is_on and why != BY_A_PERSON]
    if off:
        return problem(
            "channels",
            f"switched off: {listed(off)}; `tutorwatch channel test NAME`, then `tutorwatch channel enable NAME`",
        )
    waiting, oldest, error = context.row(
        "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(d.created_at)), 0)::float8,"
        " (array_agg(d.last_error ORDER BY d.created_at) FILTER (WHERE d.last_error IS NOT NULL))[1]"
        " FROM tutorwatch.deliveries AS d JOIN tutorwatch.channels AS c ON c.id = d.channel_id"
        " WHERE d.state = 'waiting' AND c.is_on"
    )
    message = f"{len(rows)} channels, {sum(is_on for _, is_on, _ in rows)} on"
    if not waiting:
        return ok("channels", f"{message}; nothing waits")
    message += f"; {waiting} deliveries wait, the oldest for {duration(oldest)}"
    if oldest > LONGEST_WAIT_SECONDS:
        return problem("channels", f"{message} ({error or 'is a listener running?'}): see `tutorwatch channel list`")
    return ok("channels", message)
