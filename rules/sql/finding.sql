finding AS MATERIALIZED (
    SELECT alert.tutor_id, alert.alert_type, alert.severity, alert.title, alert.description, alert.session_id,
           row.type, row.is_met, row.value, row.shown, row.unit, row.lower_is_worse, row.threshold, row.session_ids, row.resolved_alerts, row.open_alerts
    FROM json_to_recordset(:findings) AS row (alert json, type text, is_met boolean, value numeric, shown numeric,
                                              unit text, lower_is_worse boolean, threshold numeric,
                                              session_ids uuid[], resolved_alerts bigint, open_alerts bigint)
    CROSS JOIN LATERAL json_populate_record(NULL::public.alerts, row.alert) AS alert
)
