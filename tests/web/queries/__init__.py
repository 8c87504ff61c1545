"""What pages read, and how they say it."""
