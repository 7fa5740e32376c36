"""`tollway login`: a token for this terminal, by signing in in a browser.

It waits on the loopback for the browser to bring a code, which is worth a token only together with
what it alone knows. The token goes to stdout, everything else to stderr. Owns the waiting; does
not own the sign-in (`web/api/auth.py`).
"""

import argparse
import asyncio
import secrets
import sys
import webbrowser
from collections.abc import Callable
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tollway.cli.configuration import Commands
from tollway.control.sign_in import challenge_of
from tollway.domain.identity import check_issuer_url
from tollway.settings import SettingsError

PATIENCE_S = 300.0
_DEADLINE_S = 30.0
_BROWSER_SAID = "You are signed in at the command line. You may close this page.\n"


class LoginError(Exception):
    """There is no token; the message says why."""


def add(commands: Commands) -> None:
    """Add `tollway login`."""
    what = "sign in in a browser, and print a token for a day"
    parser = commands.add_parser("login", help=what, description=f"{what.capitalize()}.")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", help="where Tollway is (default: %(default)s)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only say which page to open")
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    url = asked.url.rstrip("/")
    try:
        check_issuer_url(url)
    except ValueError as error:
        raise SettingsError(f"--url: {error}") from None

    def show(page: str) -> None:
        print(f"Sign in on this page:\n  {page}", file=sys.stderr)
        if not asked.no_browser:
            webbrowser.open(page)

    try:
        print(asyncio.run(log_in(url, show)))
    except LoginError as error:
        print(f"tollway: {error}", file=sys.stderr)
        return 1
    return 0


async def log_in(url: str, show: Callable[[str], None], patience_s: float = PATIENCE_S) -> str:
    """A new token of whoever signs in on the page that is shown; LoginError."""
    verifier = secrets.token_urlsafe(32)
    token: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def brought(request: web.Request) -> web.Response:
            """The browser is here; what is not of this sign-in changes nothing."""
            sent = {"code": request.query.get("code", ""), "verifier": verifier}
            try:
                async with session.post(f"{url}/v1/auth/token", json=sent, allow_redirects=False) as answer:
                    if answer.status == 201 and not token.done():
                        token.set_result((await answer.json())["token"])
                        return web.Response(text=_BROWSER_SAID)
            except (aiohttp.ClientError, TimeoutError) as error:
                print(f"tollway: {url} could not be reached: {error}", file=sys.stderr)
            return web.Response(text="This is not of a sign-in that is waited for here.\n", status=400)

        app = web.Application()
        app.router.add_get("/", brought)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            query = urlencode({"port": runner.addresses[0][1], "challenge": challenge_of(verifier)})
            page = f"{url}/v1/auth/login?{query}"
            await _require_sign_in(session, page)
            show(page)
            async with asyncio.timeout(patience_s):
                return await token
        except TimeoutError:
            raise LoginError(f"nobody signed in within {patience_s:g} s") from None
        finally:
            await runner.cleanup()


async def _require_sign_in(session: aiohttp.ClientSession, page: str) -> None:
    """LoginError where the page would lead nowhere."""
    try:
        async with session.get(page, allow_redirects=False) as answer:
            if answer.status == 303:
                return
            said = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise LoginError(f"there is no Tollway to sign in to at this URL: {error}") from None
    detail = said.get("detail") if isinstance(said, dict) else None
    raise LoginError(str(detail or f"the server answered {answer.status}"))
