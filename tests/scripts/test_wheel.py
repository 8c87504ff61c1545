"""The wheel, which is what images and servers install: the tests themselves run an editable install."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def test_wheel_holds_every_file_of_every_room(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [each.removesuffix("*") for each in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    source = tmp_path / "source"  # a copy: a build leaves files beside the code, and takes up those of earlier ones
    for room in rooms:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    ours = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)

    built = subprocess.run([sys.executable, "-c", BUILD, tmp_path], cwd=source, capture_output=True, text=True)

    assert built.returncode == 0, built.stderr
    with ZipFile(tmp_path / built.stdout.splitlines()[-1]) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert sorted(ours ^ packed) == []
    assert len(licences) == 1
