"""Many HTTP clients in one process, each on a connection of its own, asking again and again.

A protocol of its own, so that the clients cost the machine little: it sends prepared bytes and
counts the answer's. Knows only answers with a Content-Length.
"""

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_OK = b"HTTP/1.1 200"
_LENGTH = b"content-length: "
_PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Polling:
    """What to ask, how often and for how long."""

    addresses: tuple[str, ...]  #: clients take them in turns
    clients: int
    seconds: float
    every_s: float | None  #: None: again as soon as the answer is there


@dataclass(kw_only=True, slots=True)
class Answers:
    """What came back."""

    waits_s: list[float] = field(default_factory=list)  #: of each answer
    errors: dict[str, int] = field(default_factory=dict)  #: kind to count
    seconds: float = 0.0  #: from the first question to the last answer

    def fail(self, kind: str) -> None:
        """Count an error."""
        self.errors[kind] = self.errors.get(kind, 0) + 1


def poll(polling: Polling) -> Answers:
    """Let the clients ask; for a process of their own."""
    return asyncio.run(_poll(polling))


async def _poll(polling: Polling) -> Answers:
    answers = Answers()
    start = time.perf_counter() + 0.2
    await asyncio.gather(
        *(_client(polling, number, start, answers) for number in range(polling.clients))
    )
    answers.seconds = time.perf_counter() - start
    return answers


async def _client(polling: Polling, number: int, start: float, answers: Answers) -> None:
    """Ask at the times of this client; a question that waits for its turn counts as waiting."""
    address = urlsplit(polling.addresses[number % len(polling.addresses)])
    question = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    connection: _Connection | None = None
    due = start + (polling.every_s or 0.2) * number / polling.clients
    while due < start + polling.seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            if connection is None or connection.is_lost:
                _, connection = await loop.create_connection(
                    _Connection, address.hostname or "", address.port or 80
                )
            async with asyncio.timeout(_PATIENCE_S):
                head = await connection.ask(question)
        except OSError as error:  # a timeout is one, too
            answers.fail(type(error).__name__)
            if connection is not None:
                connection.close()
                connection = None
        else:
            answers.waits_s.append(time.perf_counter() - due)
            if not head.startswith(_OK):
                answers.fail(head[9:12].decode())
        due = time.perf_counter() if polling.every_s is None else due + polling.every_s
    if connection is not None:
        connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_lost = False
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what TCP gives
        self._transport = transport

    def ask(self, question: bytes) -> asyncio.Future[bytes]:
        """Send a question; the future gets the head of the answer when all of it is there."""
        assert self._transport is not None  # noqa: S101 - connected
        self._answer = asyncio.get_running_loop().create_future()
        self._received = b""
        self._transport.write(question)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        if len(body) >= int(head[at:].split(b"\r\n", 1)[0]):
            self._answer.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed by the server"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
