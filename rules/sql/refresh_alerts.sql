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
), held AS MATERIALIZED (
    SELECT ranked.id, ranked.title AS old_title, ranked.description AS old_description,
           ranked.session_id AS old_session_id, finding.*,
           coalesce(evidence.not_met_since, :now AT TIME ZONE 'UTC') AS not_met_since,
           evidence.alert_id IS NOT NULL AS was_met, evidence.not_met_since IS NOT NULL AS was_lapsed
    FROM ranked JOIN finding ON finding.tutor_id = ranked.tutor_id AND finding.type = ranked.alert_type::text
    LEFT JOIN tutorwatch.alert_evidence AS evidence ON evidence.alert_id = ranked.id
    WHERE ranked.id = ranked.kept_id
), kept AS MATERIALIZED (
    SELECT * FROM held WHERE is_met
), reworded AS (
    UPDATE public.alerts
    SET title = kept.title, description = kept.description, session_id = kept.session_id
    FROM kept
    WHERE alerts.id = kept.id
      AND (kept.old_title, kept.old_description, kept.old_session_id)
          IS DISTINCT FROM (kept.title, kept.description, kept.session_id)
), no_longer_met AS MATERIALIZED (  -- of an alert that was never met as far as is known, nothing is said
    SELECT id, tutor_id, not_met_since, was_lapsed, description AS measured, old_description, 'No longer met since '
        || pg_catalog.to_char(not_met_since AT TIME ZONE 'UTC', 'FMDD Mon') || ': ' || description AS description
    FROM held WHERE NOT is_met AND was_met
), told AS (
    UPDATE public.alerts SET description = no_longer_met.description
    FROM no_longer_met
    WHERE alerts.id = no_longer_met.id AND no_longer_met.old_description <> no_longer_met.description
), lapsed AS (
    UPDATE tutorwatch.alert_evidence AS evidence SET not_met_since = no_longer_met.not_met_since
    FROM no_longer_met
    WHERE evidence.alert_id = no_longer_met.id AND evidence.not_met_since IS NULL
), noted AS (
    INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, details)
    SELECT id, tutor_id, 'no_longer_met', measured FROM no_longer_met WHERE NOT was_lapsed
    UNION ALL
    SELECT id, tutor_id, 'met_again', description FROM kept WHERE was_lapsed
), renewed AS (
    INSERT INTO tutorwatch.alert_evidence AS evidence
        (alert_id, tutor_id, value, threshold, session_ids, refreshed_at)
    SELECT id, tutor_id, value, threshold, session_ids, clock_timestamp() FROM kept
    ON CONFLICT (alert_id) DO UPDATE
    SET tutor_id = excluded.tutor_id, value = excluded.value, threshold = excluded.threshold,
        session_ids = excluded.session_ids, refreshed_at = excluded.refreshed_at, not_met_since = NULL
    WHERE (evidence.tutor_id, evidence.value, evidence.threshold, evidence.session_ids)
          IS DISTINCT FROM (excluded.tutor_id, excluded.value, excluded.threshold, excluded.session_ids)
       OR evidence.not_met_since IS NOT NULL
    RETURNING alert_id
), consumed AS (
    INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
    SELECT unnest(kept.session_ids), kept.type, kept.id FROM kept JOIN renewed ON renewed.alert_id = kept.id
    ON CONFLICT DO NOTHING
)
SELECT id, tutor_id, alert_type::text AS type, kept_id FROM ranked
