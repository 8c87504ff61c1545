"""Texts that others wrote, such as names, made safe for a line of output."""

import re

_BREAKS_THE_LINE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: line breaks, and what terminals take for commands
    "\u2028\u2029"  # line breaks of another kind
    "\u202a-\u202e\u2066-\u2069"  # text in another direction, which would take the rest of the line along
    "\ud800-\udfff]"  # half characters, which no encoding has
)


def one_line(text: str) -> str:
    """The text with everything that would break, forge or turn around a line written as an escape, such as `\\n`."""
    return _BREAKS_THE_LINE.sub(lambda found: ascii(found[0])[1:-1], text)
