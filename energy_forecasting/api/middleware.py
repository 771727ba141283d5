"""What happens around every request: its id, its log line, the optional trailing slash."""

import re
import time
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Where a request's state keeps the API key that it came with; None where none was asked for.
KEY_STATE = "api_key"
REQUEST_ID_HEADER = b"x-request-id"

#: Paths that the contract writes with a slash at the end; every other one is without.
COLLECTIONS = frozenset({"/trainmodel", "/forecast", "/models", "/meters", "/health"})

_SHOWN_CHARACTERS = 200
_VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

logger = structlog.get_logger("api.request")


class OptionalTrailingSlash:
    """Lets clients write a path with or without the slash at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under the path as the contract writes it."""
        if scope["type"] == "http":
            bare = scope["path"].rstrip("/")
            path = f"{bare}/" if bare in COLLECTIONS or not bare else bare
            if path != scope["path"]:
                scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


class RequestContext:
    """Gives each request an id, binds it to the logs, returns it and logs the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request inside its context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                elapsed_ms = (time.perf_counter() - started) * 1000
                # Reads are many and dull; what changes something or fails is worth a line.
                log = logger.debug if scope["method"] == "GET" and status < 500 else logger.info  # noqa: PLR2004
                key = scope["state"].get(KEY_STATE)
                log(
                    "Request served",
                    **({"key_id": key.id} if key else {}),
                    method=scope["method"],
                    path=scope["path"][:_SHOWN_CHARACTERS],
                    status=status,
                    elapsed_ms=round(elapsed_ms, 1),
                )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _VALID_REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return str(uuid4())
