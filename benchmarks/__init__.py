"""Benchmarks of Tutorwatch, a module each: `python -m benchmarks [NAME...]` from a checkout.

Each compares with a baseline, interleaved with it, because a machine's speed varies more than what is measured. Their
goals stand beside the results in code, and in benchmarks.md.
"""
