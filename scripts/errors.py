"""Errors that end a command, each with its exit code."""


class CommandError(Exception):
    """The command can't do what was asked; the message says why and what to do."""

    exit_code = 1


class UsageError(CommandError):
    """It was asked for wrongly: an argument or a setting."""

    exit_code = 2
