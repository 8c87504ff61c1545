"""Reads alerts: those that need somebody, pages of all of them, and those of one tutor or session."""
