"""The benchmarks, a module each: its BENCHMARK makes it a command of `tutorwatch bench`."""
