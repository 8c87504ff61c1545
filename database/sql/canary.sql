-- One row of what is known of both parts of the canary, by the names of database.canary.Canary's fields.
SELECT outcome, problem, seconds AS recording_seconds, tried_at, due_at, unrecorded_since,
       answered.sent_at, extract(epoch FROM answered.answered_at - answered.sent_at)::float8 AS waking_seconds,
       answered.answered_by, answered.was_woken,
       (SELECT min(marker.sent_at) FROM tutorwatch.canary_markers AS marker
        WHERE marker.answered_at IS NULL AND EXISTS (
            SELECT FROM tutorwatch.outbox WHERE outbox.session_ids = ARRAY['{marker}', marker.id])
       ) AS unanswered_since,
       clock_timestamp() AS now
FROM (VALUES (true)) AS always (only_row)
LEFT JOIN tutorwatch.canary USING (only_row)
LEFT JOIN LATERAL (
    SELECT * FROM tutorwatch.canary_markers WHERE answered_at IS NOT NULL ORDER BY sent_at DESC LIMIT 1
) AS answered ON true
