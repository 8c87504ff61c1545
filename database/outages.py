"""The log level of an outage: loud at once, then once a minute, however often something is tried."""

import logging
import re
from time import monotonic

from database.errors import PooledError, first_line

LOGGED_EVERY_SECONDS = 60.0

_PERMANENT = re.compile(
    r"(database|role) \S+ does not exist"
    r"|authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects"
    r"|not permitted to log in|permission denied for database|not currently accepting connections"
    r"|(could not translate|failed to resolve) host(?!.*Temporary failure)"
    r"|does not support SSL|certificate verify failed|root certificate file|invalid \w+ value"
)
"""libpq tells of a refused connection in words only, no code. A server that speaks another language than English is
taken for one that is away: it is logged as often, but as a WARNING."""


def is_permanent(error: BaseException) -> bool:
    """Return whether connecting fails until a person corrects the URL, the role or the server's settings."""
    return isinstance(error, PooledError) or _PERMANENT.search(str(error)) is not None


class Outage:
    """The memory of what was last logged of an outage; one for each thing that may be away."""

    def __init__(self) -> None:
        self._logged_at: dict[int | str, float] = {}

    def level(self, error: BaseException) -> int:
        """Return the level to log at: ERROR for what a person must fix, WARNING for the rest, each once a minute.

        In between, INFO for another reason than before, and DEBUG for what was logged in the last minute.
        """
        level = logging.ERROR if is_permanent(error) else logging.WARNING
        is_new_reason = self._is_due(first_line(error))
        if self._is_due(level):
            return level
        return logging.INFO if is_new_reason else logging.DEBUG

    def _is_due(self, what: int | str) -> bool:
        now = monotonic()
        self._logged_at = {each: at for each, at in self._logged_at.items() if now - at < LOGGED_EVERY_SECONDS}
        if what in self._logged_at:
            return False
        self._logged_at[what] = now
        return True
