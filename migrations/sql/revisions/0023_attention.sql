-- The value in the unit and with the places in which texts show it. Null until the alert's next generation.
ALTER TABLE tutorwatch.alert_evidence ADD COLUMN shown numeric;

-- Whether the alert is known to be resolved, or gone. Only the few that are open are written to.
ALTER TABLE tutorwatch.alert_evidence ADD COLUMN is_over boolean NOT NULL DEFAULT true;
ALTER TABLE tutorwatch.alert_evidence ALTER COLUMN is_over SET DEFAULT false;
UPDATE tutorwatch.alert_evidence AS evidence SET is_over = false
FROM public.alerts AS alert
WHERE alert.id = evidence.alert_id AND NOT alert.resolved;
CREATE INDEX alert_evidence_not_over ON tutorwatch.alert_evidence (tutor_id) WHERE NOT is_over;
CREATE INDEX alert_evidence_not_met ON tutorwatch.alert_evidence (alert_id)
    WHERE not_met_since IS NOT NULL AND NOT is_over;

-- What it depends on whether an alert is unattended, beside the platform's own columns. An alert that nobody has
-- acknowledged or reopened needs no row.
CREATE TABLE tutorwatch.alert_attention (
    alert_id uuid PRIMARY KEY,
    tutor_id text NOT NULL,
    -- The alert's own acknowledged_at of that time: where it is another one by now, another client acknowledged it
    -- since, and the next three are of no meaning any more.
    acknowledged_at timestamp,
    -- What the alert was based on then; null where it isn't acknowledged.
    session_ids uuid[],
    shown numeric,
    -- It got worse than it was then.
    worse_since timestamptz,
    reopened_at timestamp
);
INSERT INTO tutorwatch.alert_attention (alert_id, tutor_id, acknowledged_at, session_ids)
SELECT alert.id, alert.tutor_id, alert.acknowledged_at, coalesce(evidence.session_ids, '{}')
FROM public.alerts AS alert
LEFT JOIN tutorwatch.alert_evidence AS evidence ON evidence.alert_id = alert.id
WHERE alert.acknowledged AND NOT alert.resolved;

ALTER TABLE tutorwatch.alert_history
    -- Another client did it; `at` is when a generation noticed.
    ADD COLUMN is_noticed boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT alert_history_event_check,
    ADD CONSTRAINT alert_history_event_check CHECK (event IN (
        'opened', 'value_changed', 'no_longer_met', 'met_again', 'worse', 'acknowledged', 'unacknowledged', 'resolved',
        'reopened'));
