"""A database's own clock, moved by the test: the listener takes its `now` from there."""

from datetime import datetime
from typing import Any

import psycopg

_INSTALL = b"""
    CREATE TABLE public.clock_of_the_test (at timestamptz);
    INSERT INTO public.clock_of_the_test VALUES (NULL);
    ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO clock_timestamp_as_it_was;
    CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT coalesce(at, pg_catalog.clock_timestamp_as_it_was()) FROM public.clock_of_the_test
    $$;
    ALTER FUNCTION pg_catalog.clock_timestamp() OWNER TO CURRENT_USER;
    GRANT SELECT ON public.clock_of_the_test TO PUBLIC;
"""


async def install_clock(operator: psycopg.AsyncConnection[Any]) -> None:
    """Gives this database a clock that `set_clock` stops; for connections made from now on, by a superuser only."""
    await operator.execute(_INSTALL)


async def set_clock(operator: psycopg.AsyncConnection[Any], at: datetime | None) -> None:
    """From now on it is `at`, until set again; with None the clock runs as it did before."""
    await operator.execute("UPDATE public.clock_of_the_test SET at = %s", [at])
