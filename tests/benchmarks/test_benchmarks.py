"""The benchmarks run, at sizes too small to mean anything, and what they find is plausible."""

import json
import os
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from benchmarks import __main__ as program
from benchmarks import code_size
from benchmarks.harness import Goal, Samples, compared, interleaved
from benchmarks.report import number

ROOT = Path(__file__).parents[2]
Values = dict[str, float]


def run(name: str, server_url: str, tmp_path: Path) -> Values:
    """Runs the benchmark in a process of its own; returns its values by name. It leaves no database behind."""
    file = tmp_path / "results.json"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TUTORWATCH_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", name, "--quick", "--json", str(file)],
        cwd=ROOT,
        env=environment | {"TUTORWATCH_DATABASE_URL": server_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    with psycopg.connect(server_url) as connection:
        left = "SELECT FROM pg_database WHERE datname LIKE %s"
        assert connection.execute(left, [f"tutorwatch_bench_%_{process.pid}"]).fetchone() is None
    (report,) = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
    for result in report["results"]:
        assert result["what"] in printed
        for middle, spread in ((result["value"], result["spread"]), (result["ratio"], result["ratio_spread"])):
            assert spread is None or 0 < spread[0] <= middle <= spread[1]
    return {result["name"]: result["value"] for result in report["results"]}


def test_writer_compares_every_way_of_writing(server_url: str, tmp_path: Path) -> None:
    values = run("writer", server_url, tmp_path)

    ways = {name.removesuffix("_with") for name in values if name.endswith("_with")}
    assert ways == {"copy", "insert_many", "insert_one", "commits"}
    assert values["insert_many_without"] < values["copy_without"]  # 1,000 sessions and 4,000
    assert values["commits_without"] > 1000 / values["insert_one_without"] / 4  # many connections, and one


def test_latency_counts_every_alert(server_url: str, tmp_path: Path) -> None:
    values = run("latency", server_url, tmp_path)

    assert values["sessions"] >= 4 * 40 + 2  # a block each beside nothing and the very large tutor, and in the warm-up
    assert values["alerts"] == values["sessions"]
    assert values["notify_p50"] < values["alert_p50"] <= values["alert_p95"] <= values["alert_p99"]


def test_drain_drains_what_every_tutor_has(server_url: str, tmp_path: Path) -> None:
    values = run("drain", server_url, tmp_path)

    assert values["changes"] == 0
    assert values["alerts"] > 100
    assert values["one_rate"] == pytest.approx(400 / values["drain_seconds"])
    assert values["drain_seconds"] > values["plain_join_seconds"]  # it writes what that doesn't even read


def test_backfill_reaches_every_tutor_in_few_statements(server_url: str, tmp_path: Path) -> None:
    values = run("backfill", server_url, tmp_path)

    assert values["tutors"] == 200
    assert 50 < values["alerts"] < values["insights"]
    assert 5 < values["statements"] < 100
    assert values["plain_join_seconds"] < values["backfill_seconds"] < values["loop_seconds"]


@pytest.mark.soak
def test_peers_do_the_same_work(server_url: str, tmp_path: Path) -> None:
    values = run("peers", server_url, tmp_path)

    assert values.keys() == {f"{which}_{who}" for which in ("many", "few") for who in ("tutorwatch", *PEERS)}
    assert values["few_tutorwatch"] > values["many_tutorwatch"]


PEERS = ("procrastinate", "pgqueuer")


def test_dashboard_serves_every_page(server_url: str, tmp_path: Path) -> None:
    values = run("dashboard", server_url, tmp_path)

    assert {"dashboard", "alerts", "tutor", "system", "summary_p99"} <= values.keys()
    assert values["dashboard"] < values["constant"]


def test_benchmark_that_fails_is_told_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    assert program.run("drain", "host=/nowhere", quick=True) is None
    assert "drain failed" in caplog.text


def test_every_other_round_has_the_opposite_order() -> None:
    done: list[str] = []

    def note(name: str) -> float:
        done.append(name)
        return len(done)

    found = interleaved({"a": partial(note, "a"), "b": partial(note, "b")}, rounds=2)

    assert "".join(done) == "baabba"
    assert found["a"].values == [3, 6]  # without the round to warm up


def test_ratio_is_of_neighbours_and_meets_its_goal_or_not() -> None:
    slow_and_quick = compared("x", "x", "s", Samples([20, 2, 4]), Samples([10, 1, 1]), to="y", goal=Goal("", most=2))

    assert (slow_and_quick.value, slow_and_quick.ratio, slow_and_quick.ratio_spread) == (4, 2, (2, 3))
    assert slow_and_quick.meets_goal
    assert not Goal("", least=2.1).is_met(2)


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (0.123, 12.34, 123.4, 5.0, 12345.6)] == ["0.12", "12.3", "123", "5", "12,346"]


def test_code_size_counts_lines_and_functions() -> None:
    files = {file.path: file for file in code_size.sources(".")}
    own = files["benchmarks/code_size.py"]
    text = (ROOT / own.path).read_text(encoding="utf-8")

    assert own.lines == text.count("\n")
    assert (own.function_lines, own.function) == max(code_size.functions(own.path, text))
    assert sum(file.lines for file in files.values() if file.folder == "benchmarks") <= 2000
    assert "SPEC.md" not in files


def test_every_goal_stands_in_the_document() -> None:
    modules = [import_module(f"benchmarks.{name}") for name in program.NAMES]
    values = [value for module in modules for value in (*vars(module).values(), *getattr(module, "GOALS", {}).values())]
    goals = [value.words for value in values if isinstance(value, Goal)]
    document = (ROOT / "benchmarks.md").read_text(encoding="utf-8")

    assert len(goals) == 17
    assert [words for words in goals if f"| {words} |" not in document] == []
