"""The audit trail as a page, as CSV and as JSON."""
