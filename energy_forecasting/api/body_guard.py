"""What a body may be while it arrives: so large, so slow, so deep, and so many at once.

The route that reads a body reads it through the guard, whatever ``Content-Length`` says of it; a
route that reads none leaves it to the server, which drops it. The limits hold for one process. How
long a client may take for the head of its request is for the server to bound (``impatient_http``).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from energy_forecasting.api.nesting import nesting
from energy_forecasting.domain.errors import (
    BodyTooLarge,
    BodyTooSlow,
    EnergyForecastingError,
    InvalidRequest,
    Overloaded,
)

#: Ten times what any route's body has.
MAX_NESTING: Final = 32

#: What a body may always hold, however full the memory for bodies is; so much the server keeps
#: of each connection anyway.
_ALWAYS_BYTES = 64 * 1024
_BYTES_PER_MB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyLimit:
    """How large a body may be on a route."""

    mb: int
    setting: str  #: which raises it
    is_parsed_apart: bool = False  #: the route reads JSON by itself and bounds its nesting


@dataclass(kw_only=True, slots=True)
class BodyMemory:
    """What the bodies of all requests hold at this moment."""

    limit_bytes: int
    held_bytes: int = 0

    @contextmanager
    def share(self) -> "Iterator[_Share]":
        """Account for one request's body until the request has been answered."""
        share = _Share(memory=self)
        try:
            yield share
        finally:
            self.held_bytes -= share.held_bytes


@dataclass(kw_only=True, slots=True)
class _Share:
    memory: BodyMemory
    held_bytes: int = 0

    def take(self, byte_count: int) -> None:
        """Hold more; ``Overloaded`` when that is too much together with the others."""
        self.held_bytes += byte_count
        self.memory.held_bytes += byte_count
        is_full = self.memory.held_bytes > self.memory.limit_bytes
        if is_full and self.held_bytes > _ALWAYS_BYTES:
            raise Overloaded(
                "Too many large bodies are being sent at once; send this one again in a while."
            )


class BodyGuard:
    """ASGI middleware that bounds bodies.

    Args:
        app: what it guards.
        limit_of: the limit of a path.
        timeout_s: how long a body may take to arrive.
        memory_mb: how much the bodies of all requests may hold together.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_of: Callable[[str], BodyLimit],
        timeout_s: float,
        memory_mb: int,
    ) -> None:
        self._app = app
        self._limit_of = limit_of
        self._timeout_s = timeout_s
        self._memory = BodyMemory(limit_bytes=memory_mb * _BYTES_PER_MB)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that keeps to the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._memory.share() as share:
            body = _ArrivingBody(
                receive=receive,
                headers=dict(scope["headers"]),
                limit=self._limit_of(scope["path"]),
                timeout_s=self._timeout_s,
                share=share,
            )
            await self._app(scope, body.receive_more, send)


@dataclass(kw_only=True, slots=True)
class _ArrivingBody:
    receive: Receive
    headers: dict[bytes, bytes]
    limit: BodyLimit
    timeout_s: float
    share: _Share
    deadline: float | None = None  #: of the event loop's clock; None before the first part
    is_complete: bool = False
    parts: list[bytes] = field(default_factory=list)  #: kept for the nesting of JSON

    async def receive_more(self) -> Message:
        """Return the next part, or what else the server has to say.

        Raises:
            HTTPException: caused by the error of ours that tells which limit was met. FastAPI
                takes any other exception for a body that is not JSON.
        """
        if self.is_complete:  # a stream waits here for its client to leave, however long
            return await self.receive()
        try:
            return await self._guarded()
        except EnergyForecastingError as error:
            raise refused(error) from error

    async def _guarded(self) -> Message:
        if self.deadline is None:
            self.deadline = asyncio.get_running_loop().time() + self.timeout_s
            self._check_size(_declared_bytes(self.headers))
        try:
            async with asyncio.timeout_at(self.deadline):
                message = await self.receive()
        except TimeoutError as error:
            raise BodyTooSlow(
                f"The body has not arrived within {self.timeout_s:g} s; send it faster or in "
                "smaller parts.",
                field="body",
                limit_s=self.timeout_s,
            ) from error
        if message["type"] == "http.request":
            self._take(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
            if self.is_complete:
                self._check_nesting()
        return message

    def _take(self, part: bytes) -> None:
        self.share.take(len(part))
        self._check_size(self.share.held_bytes)
        if not self.limit.is_parsed_apart:
            self.parts.append(part)

    def _check_size(self, byte_count: int) -> None:
        if byte_count > self.limit.mb * _BYTES_PER_MB:
            raise BodyTooLarge(
                f"The body is larger than {self.limit.mb} MiB; send it in parts, or raise "
                f"{self.limit.setting}.",
                field="body",
                limit_bytes=self.limit.mb * _BYTES_PER_MB,
            )

    def _check_nesting(self) -> None:
        text = b"".join(self.parts)
        self.parts.clear()
        if text.count(b"[") + text.count(b"{") > MAX_NESTING and nesting(text) > MAX_NESTING:
            raise InvalidRequest(
                f"The body is nested more than {MAX_NESTING} levels deep; no route takes that.",
                field="body",
                limit_levels=MAX_NESTING,
            )


def refused(error: EnergyForecastingError) -> HTTPException:
    """Return an exception that FastAPI lets pass while it reads a body."""
    # A client that is too slow for its body would be too slow for the next request.
    headers = {"Connection": "close"} if isinstance(error, BodyTooSlow) else None
    return HTTPException(error.http_status, error.message, headers)


def _declared_bytes(headers: dict[bytes, bytes]) -> int:
    given = headers.get(b"content-length", b"")
    # The server has refused one that is no number; it need not be the one to be told.
    return int(given) if given.isdigit() and len(given) < 20 else 0  # noqa: PLR2004 - 64 bits
