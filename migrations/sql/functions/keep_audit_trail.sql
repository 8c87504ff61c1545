-- Removes entries of the audit trail that are older than so many days, and takes out of the others whose they were where
-- that user has been deleted. Refuses to remove what is younger than 90 days, whoever asks. Works on at most 10,000
-- entries of each kind; returns how many it removed, and how many no longer say whose they were.
DECLARE
    of_others bigint;
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
    GET DIAGNOSTICS anonymised = ROW_COUNT;
    -- Where nobody is known to have done it, the address may be theirs: of a failed sign-in.
    UPDATE tutorwatch.audit_trail
    SET user_id = 'deleted user', details = NULL, address = CASE WHEN actor IS NOT NULL THEN address END
    WHERE id IN (
        SELECT entry.id FROM tutorwatch.audit_trail AS entry
        WHERE user_id <> 'deleted user' AND NOT EXISTS (SELECT FROM public.users WHERE users.id = entry.user_id)
        LIMIT 10000
    );
    GET DIAGNOSTICS of_others = ROW_COUNT;
    anonymised := anonymised + of_others;
    RETURN NEXT;
END
