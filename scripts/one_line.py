"""Texts that others wrote, such as names, made safe for a line of output: see `database.one_line`."""

from database.one_line import one_line

__all__ = ["one_line"]
