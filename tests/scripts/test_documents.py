"""The documents agree with the program."""

from pathlib import Path

from scripts.cli import app
from scripts.settings_page import settings_page

ROOT = Path(__file__).parents[2]


def test_settings_page_is_what_the_command_prints() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").strip() == settings_page().strip()


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    groups = [group.name for group in app.registered_groups if group.name]

    assert [name for name in names + groups if f"`{name}" not in readme] == []
