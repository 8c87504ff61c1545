-- Of the alerts that are open the one to keep is an acknowledged one before an untouched one, else the oldest.
WITH {finding}, open AS MATERIALIZED (
    SELECT id, tutor_id, alert_type, acknowledged, acknowledged_by, acknowledged_at, triggered_date, created_at, title,
           description, session_id
    FROM public.alerts
    WHERE tutor_id = ANY(:tutor_ids) AND NOT resolved AND alert_type::text = ANY(:types)
    FOR UPDATE
), ranked AS MATERIALIZED (
    SELECT open.*, first_value(id) OVER (
        PARTITION BY tutor_id, alert_type ORDER BY acknowledged DESC, triggered_date, created_at, id) AS kept_id
    FROM open
), held AS MATERIALIZED (
    SELECT ranked.id, ranked.title AS old_title, ranked.description AS old_description,
           ranked.session_id AS old_session_id, ranked.acknowledged, ranked.acknowledged_by, ranked.acknowledged_at,
           finding.*, coalesce(evidence.not_met_since, :now AT TIME ZONE 'UTC') AS not_met_since,
           evidence.alert_id IS NOT NULL AS was_met, evidence.not_met_since IS NOT NULL AS was_lapsed,
           coalesce(evidence.is_over, false) AS was_over, evidence.session_ids AS old_session_ids,
           evidence.shown AS old_shown, attention.session_ids AS seen_session_ids, attention.shown AS seen_shown,
           attention.worse_since IS NOT NULL AS was_worse,
           attention.session_ids IS NOT NULL AS was_acknowledged,
           coalesce(attention.session_ids IS NOT NULL
               AND attention.acknowledged_at IS NOT DISTINCT FROM ranked.acknowledged_at, false) AS was_so_acknowledged
    FROM ranked JOIN finding ON finding.tutor_id = ranked.tutor_id AND finding.type = ranked.alert_type::text
    LEFT JOIN tutorwatch.alert_evidence AS evidence ON evidence.alert_id = ranked.id
    LEFT JOIN tutorwatch.alert_attention AS attention ON attention.alert_id = ranked.id
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
    UPDATE tutorwatch.alert_evidence AS evidence SET not_met_since = no_longer_met.not_met_since, is_over = false
    FROM no_longer_met
    WHERE evidence.alert_id = no_longer_met.id AND (evidence.not_met_since IS NULL OR evidence.is_over)
), compared AS MATERIALIZED (  -- with what an acknowledged alert was based on when it was acknowledged
    SELECT held.*, is_met AND NOT session_ids <@ seen_session_ids
               AND coalesce(lower_is_worse IS NULL OR (lower_is_worse AND shown < seen_shown)
                            OR (NOT lower_is_worse AND shown > seen_shown), false) AS is_worse
    FROM held WHERE acknowledged AND was_so_acknowledged
), changed AS (
    UPDATE tutorwatch.alert_attention AS attention
    SET worse_since = CASE WHEN is_worse THEN :now AT TIME ZONE 'UTC' END,
        shown = CASE WHEN is_met THEN coalesce(seen_shown, compared.shown) ELSE seen_shown END
    FROM compared
    WHERE attention.alert_id = compared.id
      AND (is_worse <> was_worse OR is_met AND seen_shown IS NULL AND compared.shown IS NOT NULL)
), seen AS (  -- what another client has acknowledged is compared with what it is based on now
    INSERT INTO tutorwatch.alert_attention AS attention (alert_id, tutor_id, acknowledged_at, session_ids, shown)
    SELECT id, tutor_id, acknowledged_at, CASE WHEN is_met THEN session_ids ELSE coalesce(old_session_ids, '{}') END,
           CASE WHEN is_met THEN shown ELSE old_shown END
    FROM held WHERE acknowledged AND NOT was_so_acknowledged
    ON CONFLICT (alert_id) DO UPDATE
    SET acknowledged_at = excluded.acknowledged_at, session_ids = excluded.session_ids, shown = excluded.shown,
        worse_since = NULL
    WHERE attention.session_ids IS NULL OR attention.acknowledged_at IS DISTINCT FROM excluded.acknowledged_at
), unseen AS (
    UPDATE tutorwatch.alert_attention AS attention
    SET acknowledged_at = NULL, session_ids = NULL, shown = NULL, worse_since = NULL
    FROM held
    WHERE attention.alert_id = held.id AND NOT held.acknowledged AND held.was_acknowledged
), noted AS (
    INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, actor, details, is_noticed)
    SELECT id, tutor_id, 'reopened', NULL, NULL, true FROM held WHERE was_over
    UNION ALL
    SELECT id, tutor_id, 'acknowledged', acknowledged_by, NULL, true
    FROM held WHERE acknowledged AND NOT was_so_acknowledged
    UNION ALL
    SELECT id, tutor_id, 'unacknowledged', NULL, NULL, true FROM held WHERE NOT acknowledged AND was_acknowledged
    UNION ALL
    SELECT id, tutor_id, 'no_longer_met', NULL, measured, false FROM no_longer_met WHERE NOT was_lapsed
    UNION ALL
    SELECT id, tutor_id, CASE WHEN was_lapsed THEN 'met_again' ELSE 'value_changed' END, NULL, description, false
    FROM kept WHERE was_lapsed OR was_met AND old_description <> description
    UNION ALL
    SELECT id, tutor_id, 'worse', NULL,
           CASE WHEN seen_shown <> shown THEN seen_shown || unit || ' → ' || shown || unit END, false
    FROM compared WHERE is_worse AND NOT was_worse
), renewed AS (
    INSERT INTO tutorwatch.alert_evidence AS evidence
        (alert_id, tutor_id, value, shown, threshold, session_ids, refreshed_at)
    SELECT id, tutor_id, value, shown, threshold, session_ids, clock_timestamp() FROM kept
    ON CONFLICT (alert_id) DO UPDATE
    SET tutor_id = excluded.tutor_id, value = excluded.value, shown = excluded.shown, threshold = excluded.threshold,
        session_ids = excluded.session_ids, refreshed_at = excluded.refreshed_at, not_met_since = NULL, is_over = false
    WHERE (evidence.tutor_id, evidence.value, evidence.shown, evidence.threshold, evidence.session_ids)
          IS DISTINCT FROM
          (excluded.tutor_id, excluded.value, excluded.shown, excluded.threshold, excluded.session_ids)
       OR evidence.not_met_since IS NOT NULL OR evidence.is_over
    RETURNING alert_id
), consumed AS (
    INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
    SELECT unnest(kept.session_ids), kept.type, kept.id FROM kept JOIN renewed ON renewed.alert_id = kept.id
    ON CONFLICT DO NOTHING
)
SELECT id, tutor_id, alert_type::text AS type, kept_id FROM ranked
