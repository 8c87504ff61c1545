-- What our own tables say of the condition of the system.
SELECT (SELECT max(version_num) FROM tutorwatch.alembic_version) AS revision,
       (SELECT count(*) FROM tutorwatch.outbox WHERE {is_change}) AS waiting,
       (SELECT min(recorded_at) FROM tutorwatch.outbox WHERE {is_change}) AS oldest_waiting_at,
       count(*) FILTER (WHERE failure.parked_at IS NULL AND failure.attempts > 0) AS failing,
       count(failure.parked_at) AS dead_lettered,
       min(failure.parked_at) AS dead_lettered_since,
       (SELECT max(swept_at) FROM tutorwatch.sweep) AS swept_at,
       ({off_since}) AS off_since,
       clock_timestamp() AS now,
       coalesce((SELECT json_agg(json_build_object(
                     'is_alive', {is_fresh}, 'blocked', figures -> 'blocked',
                     'seconds_silent', extract(epoch FROM clock_timestamp() - seen_at)))
                 FROM tutorwatch.listeners), '[]') AS listeners
FROM tutorwatch.failures AS failure
