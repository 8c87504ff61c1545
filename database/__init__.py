"""The kernel: how every part of Tutorwatch reaches PostgreSQL. It knows no rule, no listener and no web."""
