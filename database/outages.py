"""How loudly an outage is told: at once, then once a minute, however often something is tried."""

import logging
import re
from time import monotonic

from database.errors import PooledError

TOLD_EVERY_SECONDS = 60.0

_PERMANENT = re.compile(
    r"(database|role) \S+ does not exist"
    r"|authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects"
    r"|not permitted to log in|permission denied for database|not currently accepting connections"
    r"|(could not translate|failed to resolve) host(?!.*Temporary failure)"
    r"|does not support SSL|certificate verify failed|root certificate file|invalid \w+ value"
)
"""libpq tells of a refused connection in words only, no code. A server that speaks another language than English is
taken for one that is away: it is told as often, but as a WARNING."""


def is_permanent(error: BaseException | None) -> bool:
    """Whether connecting fails until a person mends the URL, the role or the server's settings."""
    return isinstance(error, PooledError) or _PERMANENT.search(str(error or "")) is not None


class Outage:
    """What was told last of an outage; one for each thing that may be away."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}

    def level(self, error: BaseException | None) -> int:
        """At which level to log: ERROR for what a person must mend, WARNING for the rest; DEBUG for what was told at
        that level in the last minute.
        """
        level = logging.ERROR if is_permanent(error) else logging.WARNING
        now = monotonic()
        if now - self._told.get(level, -TOLD_EVERY_SECONDS) < TOLD_EVERY_SECONDS:
            return logging.DEBUG
        self._told[level] = now
        return level
