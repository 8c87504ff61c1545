"""The insight rules, a file each: when the insight is active, what it says, which sessions show it."""
