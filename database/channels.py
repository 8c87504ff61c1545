"""The names of the channels that triggers notify. A notification is a wake-up; what has changed stands in tables."""

CHANGES = "tutorwatch_changes"
"""For listeners: the payload is a tutor's id, or empty for several."""

ALERTS = "tutorwatch_alerts"
"""For dashboards: likewise, of alerts that were written."""

DELIVERIES = "tutorwatch_deliveries"
"""For listeners: there is something to be told; without a payload."""
