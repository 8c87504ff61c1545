-- Of the alerts that are open the one to keep is an acknowledged one before an untouched one, else the oldest.
WITH {finding}, open AS MATERIALIZED (
    SELECT id, tutor_id, alert_type, acknowledged, triggered_date, created_at, title, description, session_id
    FROM public.alerts
    WHERE tutor_id = ANY(:tutor_ids) AND NOT resolved AND alert_type::text = ANY(:types)
    FOR UPDATE
), ranked AS MATERIALIZED (
    SELECT open.*, first_value(id) OVER (
        PARTITION BY tutor_id, alert_type ORDER BY acknowledged DESC, triggered_date, created_at, id) AS kept_id
    FROM open
), kept AS MATERIALIZED (
    SELECT ranked.id, ranked.title AS old_title, ranked.description AS old_description,
           ranked.session_id AS old_session_id, finding.*
    FROM ranked JOIN finding ON finding.tutor_id = ranked.tutor_id AND finding.type = ranked.alert_type::text
    WHERE ranked.id = ranked.kept_id
), reworded AS (
    UPDATE public.alerts
    SET title = kept.title, description = kept.description, session_id = kept.session_id
    FROM kept
    WHERE alerts.id = kept.id
      AND (kept.old_title, kept.old_description, kept.old_session_id)
          IS DISTINCT FROM (kept.title, kept.description, kept.session_id)
), renewed AS (
    INSERT INTO tutorwatch.alert_evidence AS evidence
        (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
    SELECT id, tutor_id, value, threshold, session_ids, clock_timestamp() FROM kept
    ON CONFLICT (alert_id) DO UPDATE
    SET tutor_id = excluded.tutor_id, value = excluded.value, threshold = excluded.threshold,
        session_ids = excluded.session_ids, refreshed_at = excluded.refreshed_at
    WHERE (evidence.tutor_id, evidence.value, evidence.threshold, evidence.session_ids)
          IS DISTINCT FROM (excluded.tutor_id, excluded.value, excluded.threshold, excluded.session_ids)
    RETURNING alert_id
), consumed AS (
    INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
    SELECT unnest(kept.session_ids), kept.type, kept.id FROM kept JOIN renewed ON renewed.alert_id = kept.id
    ON CONFLICT DO NOTHING
)
SELECT id, tutor_id, alert_type::text AS type, kept_id FROM ranked
