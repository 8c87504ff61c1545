"""Everything that is installed is locked, by version and by hash: nothing comes in that nobody has looked at."""

import re
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUN, DEVELOP, BUILD = "requirements.txt", "requirements-dev.txt", "requirements-build.txt"
NOT_LOCKED = {"pip", "tutorwatch"}
"""What makes the environment, and we ourselves."""


def locked(name: str) -> dict[str, Requirement]:
    """The requirements in a lock file. Fails for one without an exact version or without a SHA-256."""
    text = re.sub(r"^\s*#.*$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Requirement] = {}
    for line in filter(str.strip, text.splitlines()):
        given, *hashes = line.split("--hash=")
        requirement = Requirement(given.strip())
        assert re.fullmatch(r"==[0-9][^*,]*", str(requirement.specifier)), f"{given} is not one version"
        assert requirement.url is None
        assert hashes, f"{given} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", each) for each in hashes), given
        found[canonicalize_name(requirement.name)] = requirement
    return found


@pytest.mark.parametrize(("name", "least"), [(RUN, 20), (DEVELOP, 50), (BUILD, 1)])
def test_lock_files_name_one_version_and_its_hashes(name: str, least: int) -> None:
    assert len(locked(name)) >= least


def test_lock_files_agree_with_each_other_and_with_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run, develop, build = locked(RUN), locked(DEVELOP), locked(BUILD)
    groups = project["optional-dependencies"]
    asked = {RUN: project["dependencies"], DEVELOP: project["dependencies"] + groups["dev"] + groups["embedded"]}

    for lock, name in ((run, RUN), (develop, DEVELOP)):
        for requirement in map(Requirement, asked[name]):
            kept = lock[canonicalize_name(requirement.name)]
            [version] = [each.version for each in kept.specifier]
            assert requirement.specifier.contains(version), f"{name} has {kept}, pyproject.toml asks for {requirement}"
    both = {name: (str(each.specifier), str(develop[name].specifier)) for name, each in (run | build).items()}
    assert {name: versions for name, versions in both.items() if versions[0] != versions[1]} == {}


def test_what_is_installed_is_what_is_locked() -> None:
    """In both directions, and with all that the installed packages ask for."""
    lock = {name: each for name, each in locked(DEVELOP).items() if each.marker is None or each.marker.evaluate()}
    installed: dict[str, Distribution] = {canonicalize_name(each.metadata["Name"]): each for each in distributions()}

    assert installed.keys() - lock.keys() <= NOT_LOCKED
    versions = {name: (f"=={installed[name].version}", str(each.specifier)) for name, each in lock.items()}
    assert {name: both for name, both in versions.items() if both[0] != both[1]} == {}
    for distribution in installed.values():
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in lock, f"{distribution.name} needs {requirement}"
