-- Resolves open alerts that are duplicates of others: the listener's role may not resolve alerts by itself. `kept`
-- names, in the same order, the alert that stays open in place of each. Ends only what is a duplicate: an open alert
-- whose tutor and type have the other one open, too. Consumes nothing. Returns how many it resolved. `at` is in UTC.
DECLARE
    number_ended bigint;
BEGIN
    WITH ended AS (
        UPDATE public.alerts AS a
        SET resolved = true,
            resolved_at = at,
            action_taken = concat_ws(E'\n', a.action_taken,
                'Resolved by Tutorwatch: a duplicate of the open alert ' || other.id)
        FROM unnest(duplicates, kept) AS pair (duplicate_id, kept_id)
        JOIN public.alerts AS other ON other.id = pair.kept_id
        WHERE a.id = pair.duplicate_id AND NOT a.resolved AND NOT other.resolved AND other.id <> a.id
          AND other.tutor_id = a.tutor_id AND other.alert_type = a.alert_type
        RETURNING a.id, a.tutor_id, a.resolved_at
    ), forgotten AS (
        DELETE FROM tutorwatch.consumed_sessions WHERE alert_id IN (SELECT id FROM ended)
    ), evidence AS (
        INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, session_ids, refreshed_at, is_over)
        SELECT id, tutor_id, '{}', clock_timestamp(), true FROM ended
        ON CONFLICT (alert_id) DO UPDATE
        SET value = NULL, shown = NULL, threshold = NULL, session_ids = '{}', is_over = true
    ), history AS (
        INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, details)
        SELECT id, tutor_id, 'resolved', 'duplicate' FROM ended
    ), resolution AS (
        INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, outcome, resolved_at)
        SELECT id, tutor_id, 'duplicate', resolved_at FROM ended
        ON CONFLICT (alert_id) DO UPDATE
        SET resolved_by = NULL, outcome = 'duplicate', resolved_at = excluded.resolved_at,
            message_to_tutor = NULL  -- another client had reopened it: that was about another resolution
    )
    SELECT count(*) INTO number_ended FROM ended;
    RETURN number_ended;
END
