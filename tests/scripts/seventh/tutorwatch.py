"""`tutorwatch` with one more rule: the file beside this one, as if it lay in rules/alerts/."""

from pathlib import Path

from rules import alerts

alerts.__path__.append(str(Path(__file__).parent / "alerts"))

if __name__ == "__main__":
    from scripts.cli import main

    main()
