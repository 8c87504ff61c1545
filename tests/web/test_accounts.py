"""What operators do about accounts on the command line."""

import io
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from scripts import accounts
from scripts.errors import CommandError
from tests.support.platform import Platform
from web.auth.passwords import Parameters, WeakPasswordError, compute_key

PASSWORD = "correct horse battery"


async def test_admin_is_created_and_can_be_given_another_password(engine: AsyncEngine, platform: Platform) -> None:
    await accounts.create_admin(engine, "New@Example.test", PASSWORD, name="New Admin")
    await accounts.create_admin(engine, "new@example.test", "another good password")

    [(user_id, name, role)] = await platform.rows("SELECT id, name, role::text FROM users")
    assert (name, role) == ("New Admin", "admin")
    [(parameters, key_digest)] = await platform.rows(
        "SELECT parameters, key_digest FROM tutorwatch.credentials WHERE user_id = %s", user_id
    )
    keys = [compute_key(given, Parameters.parse(parameters)) for given in ("another good password", PASSWORD)]
    assert [sha256(key).digest() == key_digest for key in keys] == [True, False]


async def test_admin_of_the_platform_keeps_their_user(engine: AsyncEngine, platform: Platform) -> None:
    await platform.user("dana", role="admin")

    await accounts.create_admin(engine, "dana@example.test", PASSWORD)

    assert await platform.rows("SELECT user_id FROM tutorwatch.credentials") == ["dana"]
    assert await platform.rows("SELECT count(*) FROM users") == [1]


async def test_tutor_is_not_made_an_admin(engine: AsyncEngine, platform: Platform) -> None:
    await platform.user("ann")

    with pytest.raises(CommandError, match="is a tutor on the platform"):
        await accounts.create_admin(engine, "ann@example.test", PASSWORD)

    assert await platform.rows("SELECT role::text FROM users") == ["tutor"]


@pytest.mark.parametrize("email", ["", "no address", "a@", "@b", "a b@c", "x" * 250 + "@b.test", "a\x00@b"])
async def test_what_is_no_address_is_refused(email: str, engine: AsyncEngine) -> None:
    with pytest.raises(CommandError, match="is not an e-mail address"):
        await accounts.create_admin(engine, email, PASSWORD)


async def test_short_and_endless_passwords_are_refused(engine: AsyncEngine) -> None:
    for password in ("x" * 11, "x" * 1025):
        with pytest.raises(WeakPasswordError, match="12 to 1024"):
            await accounts.create_admin(engine, "new@example.test", password)


@pytest.mark.parametrize("email", ["nobody@example.test", "DANA@example.test"])
async def test_nobody_in_particular_gets_no_password(email: str, engine: AsyncEngine, platform: Platform) -> None:
    await platform.insert("users", id="1", email="dana@example.test", name="Dana", role="admin")
    await platform.insert("users", id="2", email="Dana@example.test", name="Dana", role="admin")

    with pytest.raises(CommandError, match="no user with the e-mail address"):
        await accounts.set_password(engine, email, PASSWORD)

    await accounts.set_password(engine, "Dana@example.test", PASSWORD)
    assert await platform.rows("SELECT user_id FROM tutorwatch.credentials") == ["2"]


async def test_tokens_are_listed_without_their_secrets(
    engine: AsyncEngine, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    await accounts.list_tokens(engine)
    assert capsys.readouterr().out == "There are no tokens.\n"

    await platform.user("dana", role="admin")
    await accounts.create_token(engine, "pager", acts_for="dana@example.test")
    await accounts.create_token(engine, "reports")
    tokens = capsys.readouterr().out.split()
    assert [token.startswith("tutorwatch_") for token in tokens] == [True, True]
    await accounts.revoke_token(engine, "reports")
    capsys.readouterr()
    await accounts.list_tokens(engine)

    pager, reports = capsys.readouterr().out.splitlines()
    assert pager.startswith("pager: reads and acts for dana@example.test, created ")
    assert ", never used, expires " in pager
    assert ", revoked " in reports
    assert not any(token in pager + reports for token in tokens)


async def test_name_of_a_token_is_used_once(engine: AsyncEngine) -> None:
    await accounts.create_token(engine, "reports")
    await accounts.revoke_token(engine, "reports")

    with pytest.raises(CommandError, match="already"):
        await accounts.create_token(engine, "reports")
    with pytest.raises(CommandError, match="is in use"):
        await accounts.revoke_token(engine, "reports")
    with pytest.raises(CommandError, match="printable"):
        await accounts.create_token(engine, "re\nports")


def test_password_is_the_first_line_of_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" with spaces \nanother line\n"))

    assert accounts.read_password(from_stdin=True) == " with spaces "


def test_password_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, PASSWORD, PASSWORD, "a slip"])

    def type_next(*_: Any) -> str:
        return next(typed)

    monkeypatch.setattr("getpass.getpass", type_next)

    assert accounts.read_password(from_stdin=False) == PASSWORD
    with pytest.raises(CommandError, match="differ"):
        accounts.read_password(from_stdin=False)
