"""What every request and answer has to do with, whatever it is about."""
