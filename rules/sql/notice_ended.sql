-- What the dashboard resolves is in the history already.
WITH ended AS (
    UPDATE tutorwatch.alert_evidence AS evidence SET is_over = true
    WHERE tutor_id = ANY(:tutor_ids) AND NOT is_over
      AND NOT EXISTS (SELECT FROM public.alerts WHERE alerts.id = evidence.alert_id AND NOT alerts.resolved)
    RETURNING alert_id
)
INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, event, is_noticed)
SELECT alerts.id, alerts.tutor_id, 'resolved', true
FROM ended JOIN public.alerts ON alerts.id = ended.alert_id
WHERE NOT EXISTS (
    SELECT FROM tutorwatch.alert_resolutions AS resolution
    WHERE resolution.alert_id = alerts.id AND resolution.resolved_at IS NOT DISTINCT FROM alerts.resolved_at
)
