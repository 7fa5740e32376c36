"""Which pages may use the control plane from a browser (CORS): those of the configured origins.

Owns what such a page may send and read. Cookies are never asked for: whoever asks shows a token.
"""

from typing import Any

from starlette.middleware.cors import CORSMiddleware

_KEPT_S = 600


def shared(app: Any, origins: tuple[str, ...]) -> Any:  # noqa: ANN401 - any ASGI application
    """The application, open to pages of these origins; as it is without any."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match"],
        expose_headers=["ETag", "Retry-After", "X-Request-Id"],
        max_age=_KEPT_S,
    )
