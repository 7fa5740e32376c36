"""What a browser does in a sign-in: it follows redirects and keeps one cookie."""

from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from tests.world.stage import Answer, Stage
from tollway.domain.clock import SystemClock

LOGIN = "/v1/auth/login"
CALLBACK = "/v1/auth/callback"
COOKIE = "tollway_sign_in"


class Browser:
    """One person's browser, which asks for JSON unless told otherwise."""

    def __init__(self, stage: Stage, accept: str = "application/json") -> None:
        self._stage = stage
        self._accept = accept
        self.cookie: str | None = None
        self.set_cookie = ""

    async def get(self, url: str) -> Answer:
        """One request, with the cookie if it is for Tollway; redirects are not followed."""
        is_ours = url.startswith(self._stage.base)
        headers = {"Accept": self._accept}
        if is_ours and self.cookie:
            headers["Cookie"] = f"{COOKIE}={self.cookie}"
        async with self._stage.client.get(url, headers=headers, allow_redirects=False) as answer:
            self.set_cookie = answer.headers.get("Set-Cookie", "")
            if is_ours and self.set_cookie:
                self.cookie = SimpleCookie(self.set_cookie)[COOKIE].value or None
            return Answer(status=answer.status, headers=answer.headers, body=await answer.read())

    async def begin(self, query: str = "") -> str:
        """To the identity provider: its URL."""
        answer = await self.get(f"{self._stage.base}{LOGIN}{query}")
        assert answer.status == 303, answer.body
        return answer.headers["Location"]

    async def come_back(self, url: str) -> str:
        """Through the identity provider, and where it sends the browser to."""
        answer = await self.get(url)
        assert answer.status == 302, answer.body
        return answer.headers["Location"]

    async def sign_in(self, query: str = "") -> Answer:
        """The whole way."""
        return await self.get(await self.come_back(await self.begin(query)))


def asked(url: str, name: str) -> str:
    """One parameter of a URL."""
    (value,) = parse_qs(urlsplit(url).query)[name]
    return value


def set_right(stage: Stage) -> None:
    """The provider goes by the machine's clock, so the stage does."""
    stage.clock.advance((SystemClock().now_us() - stage.clock.now_us()) / 1_000_000)
