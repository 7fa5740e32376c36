"""The little pages that a sign-in ends with; there is no other web interface.

Owns their look and the headers that keep them from others; does not own what they say.
"""

from html import escape
from types import MappingProxyType

from starlette.responses import HTMLResponse

PRIVATE = MappingProxyType({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
"""Headers of every answer that holds a secret."""

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} - Tollway</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }}
code {{ overflow-wrap: anywhere; user-select: all }}</style>
<h1>{title}</h1>
{content}
</html>
"""


def page(title: str, *paragraphs: str) -> HTMLResponse:
    """A page with these paragraphs, which are HTML already."""
    content = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    return HTMLResponse(
        _PAGE.format(title=escape(title), content=content),
        headers={**PRIVATE, "Content-Security-Policy": policy},
    )
