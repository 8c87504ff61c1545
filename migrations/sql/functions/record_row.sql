-- Records a row that the worker of a subscription applied: it fires row triggers only. Its first argument says what
-- the row is (sessions, metrics or results), the others which columns matter.
DECLARE
    columns text[] := TG_ARGV[1:];
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF current_setting('tutorwatch.statement_triggers', true) = 'fire'
        OR pg_sequence_last_value('tutorwatch.automation_off') IS NOT NULL
    THEN
        RETURN NULL;
    END IF;
    IF NOT coalesce(new_row, old_row) ?& columns THEN
        RAISE EXCEPTION 'one of its columns is missing: %', array_to_string(columns, ', ');
    END IF;
    IF TG_OP = 'UPDATE' AND NOT EXISTS (
        SELECT FROM unnest(columns) AS c (name) WHERE old_row -> c.name IS DISTINCT FROM new_row -> c.name
    ) THEN
        RETURN NULL;
    END IF;
    IF TG_ARGV[0] = 'metrics' THEN
        PERFORM tutorwatch.record_metrics_of(
            ARRAY[(coalesce(new_row, old_row) ->> 'session_id')::uuid], TG_OP = 'DELETE');
        RETURN NULL;
    END IF;
    INSERT INTO tutorwatch.outbox (tutor_id, wakes)
    SELECT DISTINCT r.data ->> 'tutor_id', r.data ->> 'tutor_id'
    FROM (VALUES (old_row), (new_row)) AS r (data)
    WHERE r.data IS NOT NULL
      AND (TG_ARGV[0] = 'results' OR r.data ->> 'status' NOT IN ('scheduled', 'in_progress'));
    RETURN NULL;
{on_error}
END
