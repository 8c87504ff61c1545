"""URLs as people have them: taken, or refused with what is wrong, and never with a password."""

import re

import pytest

from database.urls import checked_url

SECRET = "k9-open-sesame"
PLAIN = f"tim:{SECRET}@db.example.test:5432/platform"


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        (f"postgresql://{PLAIN}", f"postgresql://{PLAIN}"),
        (f"postgres://{PLAIN}?sslmode=require", f"postgres://{PLAIN}?sslmode=require"),
        (f"  postgresql://{PLAIN}\n", f"postgresql://{PLAIN}"),
        (f"postgresql://{PLAIN}?options=-c%20timezone%3DUTC", f"postgresql://{PLAIN}?options=-c%20timezone%3DUTC"),
        ("host=db.example.test dbname=platform", "host=db.example.test dbname=platform"),
        ("service=platform", "service=platform"),
    ],
)
def test_what_libpq_takes_is_taken(url: str, taken: str) -> None:
    assert checked_url(url) == taken


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"postgresql://{PLAIN}?schema=public", "the parameter schema, which"),
        (f"postgresql://{PLAIN}?pgbouncer=true&connection_limit=1", "the parameters pgbouncer and connection_limit,"),
        (f"postgresql://{PLAIN}?sslmode=no-verify", "sslmode=no-verify"),
        (f"postgresql+psycopg://{PLAIN}", "begins with 'postgresql+psycopg'"),
        (f"jdbc:postgresql://db.example.test/platform?password={SECRET}", "begins with 'jdbc:postgresql'"),
        (f'"postgresql://{PLAIN}"', "quotation mark"),
        (f"postgresql://tim:{SECRET}%zz@db.example.test/platform", "no URL or connection string"),
        ("platform", "no URL or connection string"),
        (f"host=db.example.test password='{SECRET}", "no URL or connection string"),
    ],
)
def test_what_it_doesnt_take_is_named_without_the_password(url: str, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)) as refused:
        checked_url(url)

    assert SECRET not in str(refused.value)
