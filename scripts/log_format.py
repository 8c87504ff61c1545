"""The choices of `--log-format` and `--log-level`, apart from `scripts.logs`: --help needs no logging library."""

from enum import StrEnum


class LogFormat(StrEnum):
    """`auto` is text on a terminal and JSON otherwise."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
