"""Fixtures: those of the dashboard's tests."""

from tests.web.conftest import admin, hearing, nobody, open_browser, people, server, settings, sign_in

__all__ = ["admin", "hearing", "nobody", "open_browser", "people", "server", "settings", "sign_in"]
