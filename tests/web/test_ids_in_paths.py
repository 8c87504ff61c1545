"""Whatever a user's id is, their page has an address that browsers don't lead elsewhere."""

import re
from html import unescape
from urllib.parse import unquote, urljoin

import pytest
from aiohttp.test_utils import TestServer, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tests.support.alerts import insert_alert
from tests.support.browsers import Browser, SignIn, post
from tests.support.platform import Platform
from tests.support.raw_requests import request, send
from web.auth.cookies import SIGN_IN
from web.http.paths import id_in_path, path_part

IDS = [".", "..", "...", "~", "~.", "~..", "~~..", "~ann", "", "%2e", "%2E%2E", "a/..", "a/../b", "..\\", "auth0|5 ?#"]


@given(st.one_of(st.sampled_from(IDS), st.text("~./a"), st.text(st.characters(exclude_categories=["Cs"]))))
def test_id_comes_back_from_its_path(user_id: str) -> None:
    part = path_part(user_id)
    asked = make_mocked_request("GET", "/", match_info={"id": unquote(part)})

    assert id_in_path(asked) == user_id
    assert urljoin("http://x/tutors/", part) == f"http://x/tutors/{part}"
    assert part.replace("%2E", ".").replace("%2e", ".") not in ("", ".", "..")


def test_ids_without_dots_alone_are_written_as_before() -> None:
    assert [path_part(user_id) for user_id in ("ann", "~ann", "a.b", "auth0|5")] == ["ann", "~ann", "a.b", "auth0%7C5"]


@pytest.mark.parametrize("user_id", IDS)
async def test_every_link_leads_to_the_tutor(
    user_id: str, admin: Browser, sign_in: SignIn, platform: Platform, server: TestServer
) -> None:
    await platform.user(user_id, name="Dot Dotson")
    await insert_alert(platform, user_id)
    async with admin.get("/") as response:
        links = re.findall(r'href="(/tutors/[^"#]+)[^"]*"[^>]*>(?:<bdi>Dot|View details)', await response.text())
    link = unescape(links[0])
    token = next(cookie.value for cookie in admin.session.cookie_jar if cookie.key == SIGN_IN)
    cookie = f"Cookie: {SIGN_IN}={token}"
    normalised = URL(server.make_url("/")).join(URL(link, encoded=True)).raw_path  # as a browser does it

    page = await send(server, request(normalised, cookie), patience=2)
    document = await send(server, request(f"/api{normalised}", cookie), patience=2)
    assert (page.status, b"Dot Dotson" in page.body) == (200, True)
    assert (document.status, b'"name":"Dot Dotson"' in document.body) == (200, True)

    url = URL(link, encoded=True)
    async with await post(admin, URL(f"{link}/notes", encoded=True), page=url, content="Called") as response:
        assert (response.status, response.headers["Location"]) == (303, link)
    tutor = await sign_in(user_id)
    async with tutor.get("/", allow_redirects=False) as home, tutor.get(url) as own:
        assert (home.headers["Location"], own.status) == (link, 200)
