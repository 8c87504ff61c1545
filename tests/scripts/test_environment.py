"""Settings that come another way than by their own variable: secrets in files, and deprecated names."""

from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scripts.environment import SETTINGS, is_secret, variable
from tests.support.command import SECRET, Finished, tutorwatch

URL = f"postgresql://tim:{SECRET}@127.0.0.1:1/none"


def lines(done: Finished) -> list[str]:
    """What a command that was asked wrongly says."""
    assert (done.code, done.out) == (2, "")
    assert SECRET not in done.err
    return done.err.splitlines()


# Secrets in files


def test_every_setting_that_may_hold_a_secret_may_come_from_a_file() -> None:
    secrets = {
        variable(name) for package in SETTINGS for name, field in package.model_fields.items() if is_secret(field)
    }

    assert secrets == {
        "TUTORWATCH_DATABASE_URL",
        "TUTORWATCH_LISTEN_URL",
        "TUTORWATCH_READ_URL",
        "TUTORWATCH_SMTP_URL",
        "TUTORWATCH_WEB_METRICS_TOKEN",
        "TUTORWATCH_WEB_OPENID_CLIENT_SECRET",
    }


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=ascii)
def test_url_in_a_file_is_used_without_the_line_break_at_its_end(end: str, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_bytes((database_url + end).encode())

    done = tutorwatch("automation", "status", database_url_file=file)

    assert (done.code, done.out, done.err) == (0, "Automation is on.\n", "")


@pytest.mark.parametrize("name", ["database_url", "listen_url", "read_url", "web_metrics_token"])
def test_secret_that_is_set_twice_is_a_mistake(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(URL)

    settings: dict[str, Any] = {name: URL, f"{name}_file": file}
    done = tutorwatch("status", **settings)

    assert lines(done) == [f"{variable(name)}_FILE and {variable(name)} are the same setting: keep one of them"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "can't be read (No such file or directory)", id="missing"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n", "is empty", id="blank"),
        pytest.param(b"\xff\xfe", "isn't text in UTF-8", id="no text"),
    ],
)
def test_file_that_holds_no_secret_is_told_in_a_line(content: bytes | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    done = tutorwatch("status", url=URL, listen_url_file=file)

    assert lines(done) == [f"TUTORWATCH_LISTEN_URL_FILE: {file} {problem}"]


def test_folder_is_told_in_a_line(tmp_path: Path) -> None:
    done = tutorwatch("status", url=URL, web_metrics_token_file=tmp_path)

    assert lines(done) == [f"TUTORWATCH_WEB_METRICS_TOKEN_FILE: {tmp_path} can't be read (Is a directory)"]


def test_mistake_in_a_file_is_told_by_the_files_variable_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"postgres//tim:{SECRET}@db.example.test/platform")

    [told] = lines(tutorwatch("status", database_url_file=file))

    assert told.startswith("TUTORWATCH_DATABASE_URL_FILE: is no URL or connection string")


def test_only_secrets_come_from_files(tmp_path: Path) -> None:
    [told] = lines(tutorwatch("status", url=URL, batch_size_file=tmp_path))

    assert told.startswith("TUTORWATCH_BATCH_SIZE_FILE: there is no such setting")


def test_password_and_service_files_of_libpq_work(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = tmp_path / "services"
    parts = conninfo_to_dict(database_url)
    service.write_text("\n".join(["[platform]", *(f"{name}={value}" for name, value in parts.items())]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(service))

    done = tutorwatch("automation", "status", url=make_conninfo(service="platform"))

    assert (done.code, done.out) == (0, "Automation is on.\n")


# Deprecated names


def test_deprecated_name_works_and_is_said_once(database_url: str) -> None:
    done = tutorwatch("backfill", url=database_url, deaf_poll_seconds=2, log_format="text", as_process=True)

    assert done.code == 0
    [told] = done.err.splitlines()
    assert told.endswith(
        "WARNING TUTORWATCH_DEAF_POLL_SECONDS is deprecated: it is called TUTORWATCH_FALLBACK_POLL_SECONDS now"
    )


def test_mistake_in_a_deprecated_name_is_told_by_that_name() -> None:
    done = tutorwatch("backfill", url=URL, deaf_poll_seconds="soon", log_level="error")

    assert [line.split(": ")[0] for line in lines(done)] == ["TUTORWATCH_DEAF_POLL_SECONDS"]


def test_both_names_at_once_are_a_mistake() -> None:
    done = tutorwatch("status", url=URL, deaf_poll_seconds=2, fallback_poll_seconds=2)

    [told] = lines(done)
    assert told == (
        "TUTORWATCH_DEAF_POLL_SECONDS and TUTORWATCH_FALLBACK_POLL_SECONDS are the same setting: keep one of them"
    )
