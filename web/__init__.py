"""The dashboard: pages, JSON, sign-in and live updates for admins and tutors."""
