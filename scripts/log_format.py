"""The choice of `--log-format`, apart from `scripts.logs` so that --help needs no logging library."""

from enum import StrEnum


class LogFormat(StrEnum):
    """`auto` is text on a terminal and JSON otherwise."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"
