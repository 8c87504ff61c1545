"""What a release consists of agrees with itself: version, changelog, licence, and the checks that run elsewhere."""

import re
import shlex
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read_yaml(name: str) -> dict[Any, Any]:
    loaded = yaml.safe_load(read(name))
    assert isinstance(loaded, dict)
    return loaded


def makefile_lines(target: str) -> list[str]:
    """The commands of one of the Makefile's targets, as a shell gets them."""
    _, _, rest = read("Makefile").partition(f"\n{target}:")
    lines = rest.splitlines()[1:]
    return [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in lines[: lines.index("")]]


def test_program_has_the_version_of_the_project() -> None:
    assert version("tutorwatch") == PROJECT["version"]


def test_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), flags=re.MULTILINE)

    assert next(each for each in headings if each != "Unreleased") == PROJECT["version"]
    assert headings[-1] == "0.1.0"


def test_licence_is_named_where_it_is_looked_for() -> None:
    assert read("LICENSE").startswith("MIT License\n")
    assert "Copyright (c) 2026 The Tutorwatch authors" in read("LICENSE")
    assert metadata("tutorwatch")["License-Expression"] == "MIT"


def test_supported_pythons_are_those_that_are_tested() -> None:
    prefix = "Programming Language :: Python :: 3."
    promised = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith(prefix)]
    test = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]

    assert test["strategy"]["matrix"] == {"python": promised, "postgres": ["15", "16", "17", "18"]}
    assert test["services"]["postgres"]["image"] == "postgres:${{ matrix.postgres }}"
    assert promised[0] == PROJECT["requires-python"].removeprefix(">=")


def test_workflow_runs_files_and_targets_that_exist() -> None:
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    commands = [shlex.split(step["run"]) for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = [word for command in commands if command[0] == "make" for word in command[1:] if "=" not in word]
    tests = [word for command in commands if command[0] == ".venv/bin/pytest" for word in command[1:]]

    assert {"check", "setup", "test"} <= set(targets)
    assert [each for each in targets if f"\n{each}:" not in read("Makefile")] == []
    assert [each for each in tests if not (ROOT / each).exists()] == []
    assert len(tests) >= 3


def test_hooks_before_a_commit_are_the_checks_of_make() -> None:
    [local] = read_yaml(".pre-commit-config.yaml")["repos"]
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in local["hooks"]]

    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    assert hooks == [line.removesuffix(" .") for line in makefile_lines("check")]
