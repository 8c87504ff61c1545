"""When a listener counts as alive."""

FRESH_SECONDS = 30
HEARTBEATS = 3

IS_FRESH = f"""
    seen_at > clock_timestamp() - make_interval(
        secs => greatest({FRESH_SECONDS}, {HEARTBEATS} * coalesce(CAST(figures ->> 'heartbeat_seconds' AS float8), 0)))
"""
"""Condition over a row of `tutorwatch.listeners`: it has said that it is alive within so many seconds or, where its
heartbeats are slower than usual, within so many of its own heartbeats."""
