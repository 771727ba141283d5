"""uvicorn's HTTP protocol, with limits for clients that stall: it has none of its own.

::

    uvicorn main_dramatiq:app --http energy_forecasting.api.impatient_http:ImpatientHttp

uvicorn waits without end for the head of a request, for the rest of a body that nobody reads, and
for a client to take an answer. Here each of them ends the connection after its time. It cannot
keep a client from opening connections anew; that many of them use up the process's file
descriptors is for a reverse proxy to prevent. Bodies that a route reads are ``body_guard``'s.
"""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: From the opening of a connection, or the end of a request, to the end of the next head.
HEAD_LIMIT_S: Final = 10.0
#: From an answer to the end of the body that it did not wait for.
REST_LIMIT_S: Final = 10.0
#: For the client to take enough of an answer that more can be sent (some 48 KiB).
TAKE_LIMIT_S: Final = 30.0


class ImpatientHttp(H11Protocol):
    """One connection."""

    _answers = 0
    _stall: asyncio.TimerHandle | None = None
    _stall_reason: str | None = None
    _full: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in what came, and see what is waited for now."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next head, or for the rest of a body."""
        self._answers += 1
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        if self._full is None:
            self._full = self.loop.call_later(TAKE_LIMIT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken enough."""
        super().resume_writing()
        _end(self._full)
        self._full = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        for timer in (self._stall, self._full):
            _end(timer)
        self._stall = self._full = None
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its client never takes the end of an answer."""
        super().timeout_keep_alive_handler()
        self._watch()

    def _watch(self) -> None:
        """Start, keep or stop the clock, by what the client owes."""
        owed, limit_s = self._owed()
        if owed == self._stall_reason:
            return
        _end(self._stall)
        self._stall = None
        self._stall_reason = owed
        if owed is not None:
            self._stall = self.loop.call_later(limit_s, self.transport.abort)

    def _owed(self) -> tuple[str | None, float]:
        if self.transport.is_closing():
            return "its reading", TAKE_LIMIT_S
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self._is_answered):
            # A new count for each request: who sends one after the other owes nothing.
            return f"head {self._answers}", HEAD_LIMIT_S
        if self.conn.their_state is h11.SEND_BODY and self._is_answered:
            return "rest", REST_LIMIT_S
        return None, 0.0

    @property
    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete


def _end(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
