"""The condition under which a listener counts as alive."""

HEARTBEAT_SECONDS = 4
"""How often a listener says that it is alive, unless a setting says otherwise."""
HEARTBEATS = 3
"""So many of its heartbeats without a word, and it counts as dead."""
FUTURE_SECONDS = 5
"""A heartbeat dated more than so many seconds ahead was written when the clock was: it says nothing."""

IS_FRESH = f"""
    (seen_at > clock_timestamp() - make_interval(
        secs => {HEARTBEATS} * greatest({HEARTBEAT_SECONDS},
                                        coalesce(CAST(figures ->> 'heartbeat_seconds' AS float8), 0)))
     AND seen_at < clock_timestamp() + make_interval(secs => {FUTURE_SECONDS}))
"""
"""Condition over a row of `tutorwatch.listeners`: it has said that it is alive within so many seconds or, where its
heartbeats are slower than usual, within so many of its own heartbeats."""
