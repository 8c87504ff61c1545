-- Removes entries of the audit trail that are older than so many days, and takes out of the others whose they were where
-- that user has been deleted. Refuses to remove what is younger than 90 days, whoever asks. Works on at most 10,000
-- entries each time; returns how many it removed.
CREATE OR REPLACE FUNCTION tutorwatch.keep_audit_trail(days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    removed bigint;
BEGIN
    IF days IS NULL OR days < 90 THEN
        RAISE EXCEPTION 'The audit trail is kept for at least 90 days';
    END IF;
    DELETE FROM tutorwatch.audit_trail WHERE id IN (
        SELECT id FROM tutorwatch.audit_trail WHERE at < clock_timestamp() - make_interval(days => days)
        ORDER BY at LIMIT 10000
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    UPDATE tutorwatch.audit_trail SET actor = 'deleted user', address = NULL, details = NULL WHERE id IN (
        SELECT entry.id FROM tutorwatch.audit_trail AS entry
        WHERE actor <> 'deleted user' AND NOT EXISTS (SELECT FROM public.users WHERE users.id = actor) LIMIT 10000
    );
    UPDATE tutorwatch.audit_trail SET user_id = 'deleted user', details = NULL WHERE id IN (
        SELECT entry.id FROM tutorwatch.audit_trail AS entry
        WHERE user_id <> 'deleted user' AND NOT EXISTS (SELECT FROM public.users WHERE users.id = entry.user_id)
        LIMIT 10000
    );
    RETURN removed;
END $$;
