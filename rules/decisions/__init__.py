"""The alert and insight rules: pure functions over a tutor's statistics, one per row of their tables.

They know no database, no clock and no asyncio.
"""
