-- Null while the condition is met. Value, threshold and sessions stay those of the last time it was.
ALTER TABLE tutorwatch.alert_evidence ADD COLUMN not_met_since timestamptz;

-- What happened to an alert, in order. Nobody changes or removes an entry.
CREATE TABLE tutorwatch.alert_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id uuid NOT NULL,
    tutor_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL CHECK (event IN ('opened', 'no_longer_met', 'met_again', 'acknowledged', 'unacknowledged',
                                         'resolved', 'reopened')),
    -- A user's id; null: Tutorwatch, or nobody on record.
    actor text,
    details text
);

INSERT INTO tutorwatch.alert_history (alert_id, tutor_id, at, event, actor, details)
SELECT alert.id, alert.tutor_id, taken_over.at AT TIME ZONE 'UTC', taken_over.event, taken_over.actor, taken_over.details
FROM public.alerts AS alert
LEFT JOIN tutorwatch.alert_resolutions AS resolution
    ON resolution.alert_id = alert.id AND resolution.resolved_at = alert.resolved_at
CROSS JOIN LATERAL (VALUES
    (1, alert.triggered_date, 'opened', NULL, alert.description),
    (2, alert.acknowledged_at, 'acknowledged', alert.acknowledged_by, NULL),
    (3, alert.resolved_at, 'resolved', resolution.resolved_by, resolution.outcome)
) AS taken_over (place, at, event, actor, details)
WHERE taken_over.at IS NOT NULL AND isfinite(taken_over.at)
  AND (taken_over.event <> 'acknowledged' OR alert.acknowledged) AND (taken_over.event <> 'resolved' OR alert.resolved)
ORDER BY alert.triggered_date, alert.id, taken_over.place;

CREATE INDEX alert_history_by_alert ON tutorwatch.alert_history (alert_id, id);
