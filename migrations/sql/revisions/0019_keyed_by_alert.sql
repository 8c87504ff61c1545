INSERT INTO tutorwatch.consumed_sessions (session_id, alert_type, alert_id)
SELECT DISTINCT counted.session_id, alerts.alert_type::text, alerts.id
FROM tutorwatch.alert_evidence AS evidence
JOIN public.alerts ON alerts.id = evidence.alert_id
CROSS JOIN unnest(evidence.counted_session_ids) AS counted (session_id)
ON CONFLICT DO NOTHING;

DELETE FROM tutorwatch.alert_evidence AS older USING tutorwatch.alert_evidence AS newer
WHERE older.alert_id = newer.alert_id
  AND (older.refreshed_at, older.tutor_id) < (newer.refreshed_at, newer.tutor_id);
ALTER TABLE tutorwatch.alert_evidence
    DROP CONSTRAINT alert_evidence_pkey, ADD PRIMARY KEY (alert_id), DROP COLUMN counted_session_ids;

DELETE FROM tutorwatch.alert_resolutions AS older USING tutorwatch.alert_resolutions AS newer
WHERE older.alert_id = newer.alert_id
  AND (coalesce(older.resolved_at, '-infinity'), older.tutor_id)
      < (coalesce(newer.resolved_at, '-infinity'), newer.tutor_id);
ALTER TABLE tutorwatch.alert_resolutions
    DROP CONSTRAINT alert_resolutions_pkey, ADD PRIMARY KEY (alert_id);

INSERT INTO tutorwatch.alert_resolutions (alert_id, tutor_id, outcome, resolved_at)
SELECT alerts.id, alerts.tutor_id, 'duplicate', alerts.resolved_at
FROM tutorwatch.settled_duplicates AS duplicate
JOIN public.alerts ON alerts.id = duplicate.id AND alerts.resolved
WHERE duplicate.kind = 'alert'
ON CONFLICT DO NOTHING;
DROP TABLE tutorwatch.settled_duplicates;
