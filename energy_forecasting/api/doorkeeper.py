"""Asks every request for its key, before anything else of it is looked at.

The key stands in ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``. Without a valid one every
path answers 401, whether or not there is such a path; the two health routes alone answer without
one, and then say little. Nothing of the body is read before. It lets everybody pass as long as no
key is asked for. It cannot see whether the connection is encrypted; that is a proxy's part.
"""

from starlette.datastructures import Headers
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from energy_forecasting.access.api_key import ApiKey
from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.access.scope import Scope as KeyScope
from energy_forecasting.api.error_handlers import error_answer
from energy_forecasting.api.middleware import KEY_STATE
from energy_forecasting.api.required_scopes import required_scope
from energy_forecasting.domain.errors import EnergyForecastingError, Forbidden, Unauthenticated

API_KEY_HEADER = "X-API-Key"
#: For load balancers, which hold no key.
ANSWERED_WITHOUT_KEY = frozenset({"/health/", "/health/worker"})

_POLICY_VIOLATION = 1008


class Doorkeeper:
    """Lets a request pass, or answers it with 401, 403 or, when keys cannot be read, 503."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, router: Router) -> None:
        self._app = app
        self._keys = keys
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Identify the caller, look whether the key reaches so far, pass the request on."""
        if scope["type"] == "lifespan" or not self._keys.is_closed():
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no route speaks anything else
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        try:
            key = self._identified(scope)
        except EnergyForecastingError as refusal:
            await error_answer(refusal)(scope, receive, send)
            return
        scope["state"][KEY_STATE] = key
        with bound_contextvars(**({"key_id": key.id, "key_name": key.name} if key else {})):
            await self._app(scope, receive, send)

    def _identified(self, scope: Scope) -> ApiKey | None:
        path = _path(scope)
        shown = _shown_keys(Headers(scope=scope))
        if not shown and scope["method"] == "GET" and path in ANSWERED_WITHOUT_KEY:
            return None
        if not shown:
            raise Unauthenticated(
                "This call needs an API key: send Authorization: Bearer KEY, or X-API-Key: KEY."
            )
        if len(shown) > 1:
            raise Unauthenticated("The request holds different API keys; send one.")
        key = self._keys.identify(shown.pop())
        needed = required_scope(scope["method"], path)
        if needed is None:  # nobody wrote it down, or there is no such path
            needed = KeyScope.ADMIN if self._exists(scope) else KeyScope.READ
        if not key.scope.includes(needed):
            raise Forbidden(
                f"This call needs a key with the scope {needed}; this one has {key.scope}.",
                scope=str(needed),
            )
        return key

    def _exists(self, scope: Scope) -> bool:
        return any(route.matches({**scope})[0] is Match.FULL for route in self._router.routes)


def _path(scope: Scope) -> str:
    """Return the path as routes know it, without what a proxy put before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _shown_keys(headers: Headers) -> set[str]:
    shown = {text.strip() for text in headers.getlist(API_KEY_HEADER)}
    for text in headers.getlist("Authorization"):
        scheme, _, credentials = text.strip().partition(" ")
        if scheme.lower() == "bearer":
            shown.add(credentials.strip())
    return shown
