"""Behind a proxy: what it says is believed from its address, and from nobody else's."""

import ipaddress

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from rules.settings import thresholds
from tests.support.browsers import Browser, SignIn, post, token_on
from web.app import create_app
from web.auth.cookies import FORM, SIGN_IN
from web.auth.proxies import client_address
from web.auth.slowdown import FREE_BY_ACCOUNT, FREE_BY_ADDRESS
from web.settings import WebSettings

HERE = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
ELSEWHERE = (ipaddress.ip_network("10.0.0.0/8"),)


@pytest.mark.usefixtures("people")
class TestSignInProxy:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_trusted_proxies=HERE, web_identity_header="X-Forwarded-Email")

    @pytest.mark.parametrize(
        ("email", "status"),
        [
            ("dana@example.test", 200),
            ("DANA@example.test", 200),
            ("bob@example.test", 403),
            ("nobody@example.test", 303),
            ("", 303),
        ],
    )
    async def test_header_says_who_asks(self, email: str, status: int, nobody: Browser) -> None:
        async with nobody.get("/alerts", headers={"X-Forwarded-Email": email}, allow_redirects=False) as response:
            assert response.status == status

    async def test_header_that_came_twice_says_nothing(self, nobody: Browser) -> None:
        headers = [("X-Forwarded-Email", "dana@example.test"), ("X-Forwarded-Email", "bob@example.test")]
        async with nobody.get("/alerts", headers=headers, allow_redirects=False) as response:
            assert response.status == 303

    @pytest.mark.usefixtures("subscribed")
    async def test_signing_out_is_offered_only_where_it_works(self, nobody: Browser, admin: Browser) -> None:
        """Also of pages that are kept for all who ask."""
        for path in ("/", "/alerts"):
            for browser, headers, is_offered in (
                (admin, {}, True),
                (nobody, {"X-Forwarded-Email": "omar@example.test"}, False),
            ):
                async with browser.get(path, headers=headers) as response:
                    assert ("Sign out" in await response.text()) is is_offered

    async def test_forms_need_their_token_here_too(self, nobody: Browser) -> None:
        nobody.session.headers["X-Forwarded-Email"] = "dana@example.test"

        async with nobody.post("/tutors/ann/notes", data={"content": "Hello"}) as response:
            assert response.status == 403
        async with await post(nobody, "/tutors/ann/notes", content="Hello") as response:
            assert response.status == 303

    async def test_form_of_one_person_does_nothing_for_the_next_in_the_same_browser(self, nobody: Browser) -> None:
        """Neither does one from before anybody was signed in."""
        stranger = await token_on(nobody)
        nobody.session.headers["X-Forwarded-Email"] = "dana@example.test"
        dana = await token_on(nobody, "/tutors/ann")
        nobody.session.headers["X-Forwarded-Email"] = "omar@example.test"
        omar = await token_on(nobody, "/tutors/ann")

        answers = {}
        for whose, token in (("stranger", stranger), ("dana", dana), ("omar", omar)):
            form = {"csrf_token": token, "content": "Hello"}
            async with nobody.post("/tutors/ann/notes", data=form, allow_redirects=False) as response:
                answers[whose] = response.status
        assert answers == {"stranger": 403, "dana": 403, "omar": 303}


@pytest.mark.usefixtures("people")
class TestHeaderFromElsewhere:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_trusted_proxies=ELSEWHERE, web_identity_header="X-Forwarded-Email")

    async def test_is_ignored(self, nobody: Browser) -> None:
        headers = {"X-Forwarded-Email": "dana@example.test", "X-Forwarded-Proto": "https"}
        async with nobody.get("/alerts", headers=headers, allow_redirects=False) as response:
            assert response.status == 303
        async with nobody.get("/sign-in", headers=headers) as response:
            assert [(cookie.key, cookie["secure"]) for cookie in response.cookies.values()] == [(FORM, "")]


class TestHttps:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_trusted_proxies=HERE)

    async def test_cookies_are_secure_behind_it(self, nobody: Browser) -> None:
        async with nobody.get("/sign-in", headers={"X-Forwarded-Proto": "https"}) as response:
            cookies = [(cookie.key, cookie["secure"], cookie["domain"]) for cookie in response.cookies.values()]
            assert cookies == [(f"__Host-{FORM}", True, "")]
            assert response.headers["Strict-Transport-Security"].startswith("max-age=")

    async def test_document_names_the_cookie_as_it_is_there(self, nobody: Browser) -> None:
        for scheme, name in (("https", f"__Host-{SIGN_IN}"), ("http", SIGN_IN)):
            async with nobody.get("/api/openapi.json", headers={"X-Forwarded-Proto": scheme}) as response:
                assert (await response.json())["components"]["securitySchemes"]["session"]["name"] == name

    async def test_signing_out_clears_what_the_browser_has_kept(self, sign_in: SignIn) -> None:
        """Over plain http browsers ignore it, and complain."""
        for scheme, expected in (("http", None), ("https", '"cache"')):
            admin = await sign_in("dana")
            tokens = {f"__Host-{SIGN_IN}": cookie.value for cookie in admin.session.cookie_jar if cookie.key == SIGN_IN}
            admin.session.cookie_jar.update_cookies(tokens, admin.make_url("/"))
            admin.session.headers["X-Forwarded-Proto"] = scheme
            async with await post(admin, "/sign-out") as response:
                assert (response.status, response.headers["Location"]) == (303, "/sign-in")
                assert response.headers.get("Clear-Site-Data") == expected

    async def test_cookie_without_the_prefix_is_not_read_there(self, admin: Browser) -> None:
        assert SIGN_IN in {cookie.key for cookie in admin.session.cookie_jar}

        headers = {"X-Forwarded-Proto": "https"}
        async with admin.get("/alerts", headers=headers, allow_redirects=False) as response:
            assert response.status == 303


@pytest.mark.parametrize(
    ("forwarded", "peer", "expected"),
    [
        pytest.param([], "10.0.0.1", None, id="proxy doesn't say"),
        pytest.param(["203.0.113.7"], "10.0.0.1", "203.0.113.7", id="through one proxy"),
        pytest.param(["203.0.113.7, 10.0.0.2"], "10.0.0.1", "203.0.113.7", id="through two"),
        pytest.param(["10.0.0.3, 10.0.0.2"], "10.0.0.1", "10.0.0.3", id="from the proxies' own network"),
        pytest.param(["198.51.100.1, 203.0.113.7"], "10.0.0.1", "203.0.113.7", id="forged by the client"),
        pytest.param(["198.51.100.1", "203.0.113.7"], "10.0.0.1", "203.0.113.7", id="forged in a header of its own"),
        pytest.param(["203.0.113.7"], "192.0.2.9", "192.0.2.9", id="not from a proxy"),
        pytest.param(["203.0.113.7"], "::ffff:10.0.0.1", "203.0.113.7", id="IPv4 in IPv6"),
        pytest.param(["::ffff:203.0.113.7"], "10.0.0.1", "203.0.113.7", id="IPv4 in IPv6, forwarded"),
        pytest.param(["203.0.113.7:50123"], "10.0.0.1", "203.0.113.7", id="with a port"),
        pytest.param(["203.0.113.7:50123, 10.0.0.2:443"], "10.0.0.1", "203.0.113.7", id="with ports, through two"),
        pytest.param(["[2001:db8::9]:50123"], "10.0.0.1", "2001:db8::9", id="IPv6 with a port"),
        pytest.param(["[2001:db8::9]"], "10.0.0.1", "2001:db8::9", id="IPv6 in brackets"),
        pytest.param(["2001:db8::9"], "10.0.0.1", "2001:db8::9", id="IPv6"),
        pytest.param(["2001:db8:0:0:0:0:0:9:50123"], "10.0.0.1", "2001:db8::9", id="IPv6 in full, with a port"),
        pytest.param(["[::ffff:203.0.113.7]:50123"], "10.0.0.1", "203.0.113.7", id="IPv4 in IPv6 with a port"),
        pytest.param(["fe80::1%eth0"], "10.0.0.1", "fe80::1", id="zone"),
        pytest.param(["[fe80::1%25eth0]:443"], "10.0.0.1", "fe80::1", id="zone and port"),
        pytest.param(['"203.0.113.7"'], "10.0.0.1", "203.0.113.7", id="quoted"),
        pytest.param([' "[2001:db8::9]:443" '], "10.0.0.1", "2001:db8::9", id="quoted, with a port"),
        pytest.param(["\t203.0.113.7 ,  10.0.0.2\t"], "10.0.0.1", "203.0.113.7", id="whitespace"),
        pytest.param(["203.0.113.7,, ", ""], "10.0.0.1", "203.0.113.7", id="empty elements"),
        pytest.param(["nonsense"], "10.0.0.1", None, id="nonsense"),
        pytest.param(["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.1", None, id="a proxy that doesn't know"),
        pytest.param(["unknown, 203.0.113.7"], "10.0.0.1", "203.0.113.7", id="unknown behind a stranger"),
        pytest.param(["203.0.113.7:http"], "10.0.0.1", None, id="no port"),
        pytest.param(["1" * 60_000], "10.0.0.1", None, id="far too long"),
    ],
)
async def test_address_is_that_of_the_last_stranger(forwarded: list[str], peer: str, expected: str | None) -> None:
    app = create_app("", WebSettings(web_trusted_proxies=ELSEWHERE), thresholds(), version="1")
    request = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", each) for each in forwarded], app=app)
    request.transport.get_extra_info.side_effect = lambda name, *_: (peer, 1234) if name == "peername" else None  # type: ignore[union-attr]

    assert client_address(request) == expected


@pytest.mark.usefixtures("people")
class TestSlowdown:
    @pytest.fixture
    def settings(self) -> WebSettings:
        return WebSettings(web_port=0, web_trusted_proxies=HERE)

    @pytest.mark.parametrize(
        ("guessing", "other"),
        [
            pytest.param("203.0.113.9:50123", "198.51.100.7:40000", id="ports"),
            pytest.param("[2001:db8::9]:50123", "[2001:db8:1::7]:40000", id="IPv6 with ports"),
            pytest.param("unknown", "unknown", id="proxy that says of nobody who it is"),
            pytest.param("", "", id="proxy that says nothing"),
        ],
    )
    async def test_one_persons_guesses_slow_down_nobody_else(self, guessing: str, other: str, nobody: Browser) -> None:
        for number in range(FREE_BY_ADDRESS):
            assert await guess(nobody, f"guess-{number}@example.test", guessing) == 401

        assert await guess(nobody, "somebody-else@example.test", other) == 401

    async def test_account_is_guarded_wherever_guesses_come_from(
        self, nobody: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("web.auth.slowdown.FIRST_WAIT_SECONDS", 60.0)  # a slow machine's guesses are slow, too
        said = [await guess(nobody, "dana@example.test", "unknown") for _ in range(FREE_BY_ACCOUNT + 1)]

        assert said == [401] * FREE_BY_ACCOUNT + [429]


async def guess(browser: Browser, email: str, address: str) -> int:
    """The answer's status to a wrong password, with the proxy saying that it comes from there."""
    headers = {"X-Forwarded-For": address, "Accept": "application/json"}
    async with await post(
        browser, "/sign-in", page="/sign-in", headers=headers, email=email, password="wrong"
    ) as response:
        return response.status


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"web_identity_header": "X-Email"}, "needs TUTORWATCH_WEB_TRUSTED_PROXIES"),
        ({"web_trusted_proxies": "10.0.0.0/8, nonsense"}, "'nonsense' does not appear to be"),
        ({"web_url": "tutorwatch.example"}, "must be http"),
        ({"web_url": "https://tutorwatch.example/path"}, "must be http"),
    ],
)
def test_mistaken_settings_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WebSettings(**values)  # type: ignore[arg-type]
