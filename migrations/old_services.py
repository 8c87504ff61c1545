"""Services of the version before, which have to end before the database is no longer theirs."""

import logging
import time

import psycopg

logger = logging.getLogger(__name__)

OLD_SERVICES_SECONDS = 60.0
"""How long `migrate` waits for them to end."""

CUT_OFF_SERVICES = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid
WHERE datname = current_database() AND application_name IN ('tutorwatch-listen', 'tutorwatch-web-listen')
  AND pg_has_role(usesysid, 'USAGE') AND (NOT rolsuper OR current_setting('is_superuser') = 'on');
"""
"""Of what a service has in the database only the connection that listens: what it is about to commit, it commits."""

_OLDER_SERVICES = """
    SELECT DISTINCT format('%s as role %s', application_name, usename)
        || CASE WHEN client_addr IS NOT NULL THEN ' from ' || host(client_addr)
                WHEN client_port = -1 THEN ' from this host' ELSE '' END
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND application_name IN ('tutorwatch-listen', 'tutorwatch-worker', 'tutorwatch-web', 'tutorwatch-web-listen')
    ORDER BY 1
"""
"""From where, and since when, is hidden from an owner who isn't a member of the services' roles. Newer services don't
stay: at this revision they refuse to start."""


class ServicesStillRunError(Exception):
    """Services of the version before go on although they were told to end; the message names them."""


def end_older_services(connection: psycopg.Connection) -> None:
    """Have every service connect again, where our role may: it finds a schema that isn't its own any more, and ends.

    Waits until all have ended; raises ServicesStillRunError if they don't, or our role may not end them.
    """
    found = connection.execute(CUT_OFF_SERVICES.encode()).fetchone()
    if found and found[0]:
        logger.info("Services of the version before were told to end: %d; start the new ones afterwards", found[0])
    give_up_at = time.monotonic() + OLD_SERVICES_SECONDS
    is_logged = False
    while names := [name for (name,) in connection.execute(_OLDER_SERVICES.encode())]:
        if time.monotonic() >= give_up_at:
            raise ServicesStillRunError(
                f"Services of the version before are still running: {', '.join(names)}. Stop them, then run"
                " `tutorwatch migrate` again: it goes on from here"
            )
        if not is_logged:
            logger.info("Waiting for services of the version before to end: %s", ", ".join(names))
            is_logged = True
        time.sleep(0.2)
