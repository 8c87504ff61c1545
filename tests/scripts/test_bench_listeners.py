"""The benchmarks of listeners at work and at rest run, at sizes too small to mean anything."""

from pathlib import Path

import psycopg
import pytest

from scripts.bench import changes
from tests.scripts.bench_command import run_bench


def test_drain_generates_for_every_tutor(server_url: str, tmp_path: Path) -> None:
    sizes = ("--tutors", "30", "--sessions", "20", "--rounds", "1")
    figures, _ = run_bench(server_url, tmp_path, "drain", "--quick", *sizes)
    assert figures["drain_seconds"]["yardstick"] == "plain join"
    assert figures["drain_rate"]["value"] == pytest.approx(30 / figures["drain_seconds"]["value"])
    assert figures["drain_two_rate"]["yardstick"] == "one listener"
    assert figures["alerts"]["value"] > 0
    assert figures["insights"]["value"] > 0


def test_changes_are_of_so_many_tutors_and_visible_with_results_gone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        changes.record_anew(connection, changes=50, tutors=10)
        changes.record_anew(connection, changes=50, tutors=10)
        found = connection.execute(
            "SELECT tutor_id, count(*) FROM tutorwatch.outbox GROUP BY tutor_id ORDER BY tutor_id"
        ).fetchall()
    assert sorted(found) == sorted((f"bench-tutor-{number}", 5) for number in range(1, 11))
