"""The alert rules, a file each: when the alert opens, what it says, which sessions are its evidence."""
