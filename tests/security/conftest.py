"""Fixtures: those of the dashboard's tests."""

from tests.support.browsers import admin, nobody, open_browser, people, server, settings, sign_in, subscribed

__all__ = ["admin", "nobody", "open_browser", "people", "server", "settings", "sign_in", "subscribed"]
