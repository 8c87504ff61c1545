"""What is imported is declared: nothing works only because something else happens to bring it along."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = [each for each in PROJECT["tool"]["importlinter"]["root_packages"] if each != "tests"]
OPTIONAL = {"benchmarks": "bench", "scripts/embedded.py": "embedded"}
"""Code that an extra is for: its path, and the extra's name. The benchmarks start the embedded server as well."""


def imported(path: Path) -> Iterator[str]:
    """The top-level names of the third-party packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0, module=str(module)):
                names = [module]
            case _:
                continue
        yield from {name.split(".")[0] for name in names} - sys.stdlib_module_names - {*PACKAGES, "tests"}


def declared(*extras: str) -> set[str]:
    """The packages that pyproject.toml asks for by name, with these extras."""
    project = PROJECT["project"]
    groups = (project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras))
    return {canonicalize_name(Requirement(each).name) for group in groups for each in group}


def undeclared(files: Iterable[Path], *extras: str) -> list[str]:
    """A line for each import of something that isn't declared."""
    distributions = packages_distributions()
    allowed = declared(*extras)
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in sorted(imported(path))
        if allowed.isdisjoint(map(canonicalize_name, distributions.get(name, [name])))
    ]


def extra_of(path: Path) -> str | None:
    return next((extra for place, extra in OPTIONAL.items() if path.is_relative_to(ROOT / place)), None)


def files_of(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_what_every_installation_imports_is_declared_without_an_extra() -> None:
    always = [path for path in files_of(*PACKAGES) if extra_of(path) is None]

    assert len(always) > 100
    assert undeclared(always) == []


@pytest.mark.parametrize(
    ("place", "extras"), [("benchmarks", ("bench", "embedded")), ("scripts/embedded.py", ("embedded",))]
)
def test_what_an_extra_is_for_imports_what_the_extra_declares(place: str, extras: tuple[str, ...]) -> None:
    files = [ROOT / place] if place.endswith(".py") else files_of(place)

    assert len(files) >= 1
    assert undeclared(files, *extras) == []


def test_what_the_tests_import_is_declared_for_developers() -> None:
    assert undeclared(files_of("tests"), *PROJECT["project"]["optional-dependencies"]) == []


def test_nothing_is_declared_that_nothing_imports() -> None:
    """But what is loaded by name: psycopg's and SQLAlchemy's extras, and commands of the developers'."""
    distributions = packages_distributions()
    used = {
        canonicalize_name(each)
        for path in files_of(*PACKAGES)
        for name in imported(path)
        for each in distributions.get(name, [name])
    }

    assert declared("bench", "embedded") - used == {"tzdata"}, "which zoneinfo imports"
