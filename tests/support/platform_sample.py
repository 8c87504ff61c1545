"""Rows of the platform, as it made them itself."""

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.platform import NOW, naive

SAMPLE = Path(__file__).parents[1] / "data" / "platform-sample"


TABLES = (
    "users",
    "subjects",
    "tutors",
    "students",
    "sessions",
    "session_audio_metrics",
    "session_video_metrics",
    "session_screen_metrics",
    "session_feedback",
)


EXPORTED_AT = naive(NOW)


Row = dict[str, str | datetime | None]


def read(table: str, *, at: datetime = EXPORTED_AT) -> Iterator[Row]:
    """The table's rows, as if exported at that instant."""
    with (SAMPLE / f"{table}.csv").open(newline="") as file:
        for values in csv.DictReader(file):
            row: Row = {}
            for column, value in values.items():
                if column.endswith("_offset_s"):
                    offset = timedelta(seconds=int(value)) if value else None
                    row[column.removesuffix("_offset_s")] = None if offset is None else at + offset
                else:
                    row[column] = value or None
            yield row
