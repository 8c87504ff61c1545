"""Stdout and stderr as they happen to be: of any encoding, closed, or on a full disk."""

import errno
import io
import os
import sys
from pathlib import Path

_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def prepare() -> None:
    """Lets stdout and stderr take every character, those that their encoding doesn't have as escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def explain(error: OSError) -> str | None:
    """Return the message for an error of stdout, which then gets nothing more; None for any other error."""
    if error.errno not in _NOT_WRITTEN or error.filename is not None:
        return None
    if isinstance(sys.stdout, io.TextIOWrapper):  # what waits in it would fail again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return f"The output can't be written: {error.strerror}"
