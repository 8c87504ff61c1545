"""Attacks, and what each role of the database may do."""
