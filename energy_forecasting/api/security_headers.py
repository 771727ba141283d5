"""Headers that tell browsers to do nothing with an answer that it is not meant for.

Nothing of an answer is kept in a cache, because it is about somebody's consumption, except the
files of the documentation's pages. The policy for content lets those two pages work, whose
scripts stand in the page itself; all other answers are not for display. ``Server: uvicorn`` is
uvicorn's to leave out: ``--no-server-header``. HTTPS and its HSTS belong to the proxy in front.
"""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC_FILES = "/static-offline-docs/"

#: Of every answer.
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

#: For the pages that show the documentation.
_PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """Adds the headers to every answer that passes, unless it brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request and add to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = dict(SECURITY_HEADERS)
        if scope["path"] in _PAGES:
            added["Content-Security-Policy"] = _PAGE_POLICY

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 200 and scope["path"].startswith(STATIC_FILES):  # noqa: PLR2004
                    del added["Cache-Control"]
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
