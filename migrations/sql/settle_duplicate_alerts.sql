-- Of several open alerts of one tutor and type the oldest stays; the others are resolved, with a note.
-- Their evidence is empty on purpose: resolved by no person, they have counted no session.
WITH ranked AS (
    SELECT id, first_value(id) OVER (PARTITION BY tutor_id, alert_type
                                     ORDER BY triggered_date, created_at, id) AS kept_id
    FROM public.alerts
    WHERE NOT resolved
      AND alert_type IN ('poor_first_session', 'no_show_pattern', 'high_talk_ratio',
                         'low_understanding_checks', 'high_reschedule_rate', 'declining_performance')
), settled AS (
    UPDATE public.alerts AS a
    SET resolved = true,
        resolved_at = clock_timestamp() AT TIME ZONE 'UTC',
        action_taken = concat_ws(E'\n', a.action_taken,
            'Resolved by Tutorwatch: a duplicate of the older open alert ' || r.kept_id)
    FROM ranked AS r
    WHERE a.id = r.id AND r.id <> r.kept_id AND NOT a.resolved
    RETURNING a.id, a.tutor_id, r.kept_id
), recorded AS (
    INSERT INTO tutorwatch.settled_duplicates (id, kind, tutor_id, kept_id)
    SELECT id, 'alert', tutor_id, kept_id FROM settled
    ON CONFLICT (id) DO UPDATE SET kept_id = excluded.kept_id, settled_at = excluded.settled_at
)
INSERT INTO tutorwatch.alert_evidence (alert_id, tutor_id, session_ids, counted_session_ids, refreshed_at)
SELECT id, tutor_id, '{}', '{}', clock_timestamp() FROM settled
ON CONFLICT DO NOTHING
