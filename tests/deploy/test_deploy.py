"""What is in deploy/ fits the program: rules, dashboard, units and the compose file."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from scripts.environment import FOR_THE_COMMAND_LINE, SETTINGS, variable
from tests.support.command import PROGRAM, Running
from tests.support.listening import has_settled, no_shows
from tests.support.platform import Platform
from tests.support.roles import LISTENER, WEB
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "tutorwatch.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "tutorwatch.json"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NAME = re.compile(r"\btutorwatch_[a-z_]+\b")
ONLY_WITH_A_REPLICA = {"tutorwatch_web_replica_in_use"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")


def promtool(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def exposed(database_url: str, platform: Platform) -> dict[str, str]:
    """What a listener and a dashboard expose once both have done something."""
    texts = {}
    with (
        Running("listen", url=LISTENER.url(database_url), listener_port=0) as listener,
        Running("web", url=WEB.url(database_url), web_port=0, web_metrics_port=0) as web,
    ):
        addresses = {"listener": (await listener.log(action="serving"))["message"].removeprefix("Serving on ")}
        pages, addresses["web"] = await _two_addresses(web)
        await listener.log(action="listening")
        await no_shows(platform, 2)
        await has_settled(platform)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{pages}/sign-in"):
                pass
            for name, address in addresses.items():
                async with session.get(f"{address}/metrics") as response:
                    texts[name] = await response.text()
    return texts


async def _two_addresses(web: Running) -> tuple[str, str]:
    async def both() -> list[str] | None:
        served = [line["message"].removeprefix("Serving on ") for line in web.logs(action="serving")]
        return served if len(served) == 2 else None

    first, second = await eventually(both) or ("", "")
    return first, second


@pytest.fixture
async def texts(database_url: str, platform: Platform) -> dict[str, str]:
    return await exposed(database_url, platform)


async def test_metrics_of_rules_and_dashboard_exist_and_nothing_is_told_twice(texts: dict[str, str]) -> None:
    series = {name: set(re.findall(r"^(tutorwatch_[a-z_]+)", text, re.MULTILINE)) for name, text in texts.items()}
    everything = series["listener"] | series["web"]
    named = {
        name for expression in [*_rule_expressions(), *_dashboard_expressions()] for name in NAME.findall(expression)
    }

    assert named - everything == ONLY_WITH_A_REPLICA
    deprecated = set(re.findall(r"^# HELP (\S+) Deprecated", texts["web"], re.MULTILINE))
    assert named & deprecated == set()
    # Whatever both expose is the database's, the same everywhere: no counter of a process is among it.
    both = series["listener"] & series["web"]
    assert {name for name in both if name.endswith("_total")} == {
        "tutorwatch_changes_recorded_total",
        "tutorwatch_changes_unrecorded_total",
    }
    assert not re.search(r'\b(pid|process|listener)="[^"]*:\d+"', texts["listener"] + texts["web"])


@needs_promtool
async def test_promtool_has_nothing_to_say_of_the_metrics(texts: dict[str, str]) -> None:
    for text in texts.values():
        assert promtool("check", "metrics", text=text) == ""


@needs_promtool
def test_promtool_accepts_the_rules_and_they_fire_as_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("test", "rules", str(RULES.with_name("tutorwatch.tests.yml")))


def test_every_rule_says_what_to_do() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_commands_with_settings_that_exist(unit: Path, tmp_path: Path) -> None:
    lines = [line for line in unit.read_text().splitlines() if line.startswith("Environment=")]
    _assert_settings_exist({line.removeprefix("Environment=").split("=")[0] for line in lines})
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    assert parser["Service"]["ExecStart"].startswith("/opt/tutorwatch/bin/tutorwatch ")
    assert parser["Service"]["NoNewPrivileges"] == "yes"

    if analyze := shutil.which("systemd-analyze"):
        here = tmp_path / unit.name
        here.write_text(unit.read_text().replace("/opt/tutorwatch/bin/tutorwatch", str(PROGRAM)))
        done = subprocess.run([analyze, "verify", here], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("file", [ROOT / "compose.yaml", DEPLOY / "compose.existing.yaml"], ids=lambda file: file.name)
def test_compose_files_use_settings_and_commands_that_exist(file: Path) -> None:
    services = yaml.safe_load(file.read_text())["services"]
    for service in services.values():
        ours = {name for name in service.get("environment", {}) if name.startswith("TUTORWATCH_")}
        _assert_settings_exist(ours)


def test_compose_beside_an_existing_database_gives_each_service_a_role_of_its_own() -> None:
    services = yaml.safe_load((DEPLOY / "compose.existing.yaml").read_text())["services"]
    secrets = {name: service["secrets"] for name, service in services.items()}
    assert secrets == {
        "migrate": ["owner-url"],
        "rights": ["owner-url"],
        "listener": ["listener-url"],
        "web": ["web-url"],
    }
    assert "postgres" not in services


def _assert_settings_exist(names: set[str]) -> None:
    known = {variable(name) for package in SETTINGS for name in package.model_fields} | set(FOR_THE_COMMAND_LINE)
    assert {name.removesuffix("_FILE") for name in names} - known == set()


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def _rule_expressions() -> list[str]:
    return [rule["expr"] for rule in _rules()]


def _dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]
