-- Of several active insights of one tutor and category the oldest stays; the others become inactive. The
-- table has no column for a note, so it is added to the text.
WITH ranked AS (
    SELECT id, first_value(id) OVER (PARTITION BY tutor_id, category ORDER BY detected_at, id) AS kept_id
    FROM public.tutor_insights
    WHERE is_active
), settled AS (
    UPDATE public.tutor_insights AS i
    SET is_active = false,
        resolved_at = clock_timestamp() AT TIME ZONE 'UTC',
        display_text = i.display_text || ' (made inactive by Tutorwatch: a duplicate of the older active insight '
            || r.kept_id || ')'
    FROM ranked AS r
    WHERE i.id = r.id AND r.id <> r.kept_id AND i.is_active
    RETURNING i.id, i.tutor_id, r.kept_id
)
INSERT INTO tutorwatch.settled_duplicates (id, kind, tutor_id, kept_id)
SELECT id, 'insight', tutor_id, kept_id FROM settled
ON CONFLICT (id) DO UPDATE SET kept_id = excluded.kept_id, settled_at = excluded.settled_at
