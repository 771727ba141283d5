"""Stands between a client and Redis, and loses the reply to a command of one's choice.

The command has been carried out when its reply is lost: that is what makes clients do things
twice. A command is recognised by bytes in the question, so it must be sent in one piece; replies
are not taken apart, so everything that the connection still had to say is lost with it.
"""

import contextlib
import re
import socket
import threading
import time

from tests.tcp_proxy import _PIECE_BYTES, TcpProxy, _close, _reset

#: An empty list: a fetch that found nothing, whose loss would lose nothing.
_NOTHING = b"*0\r\n"
_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class LostReply:
    """A reply that is to be lost, and what is known of it afterwards."""

    def __init__(self, question: bytes) -> None:
        self.question = question
        self.has_happened = threading.Event()
        self.at_ms = 0  #: when
        self.ids: set[str] = set()  #: that stood in the question or in the reply

    def note(self, question: bytes, answer: bytes) -> None:
        self.at_ms = time.time_ns() // 1_000_000
        self.ids = {each.decode() for each in _ID.findall(question + answer)}
        self.has_happened.set()


class ReplyLosingProxy(TcpProxy):
    """A ``TcpProxy`` for Redis."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self._wanted: LostReply | None = None
        self._asked: dict[socket.socket, tuple[LostReply, bytes]] = {}

    def lose_reply(self, question: bytes) -> LostReply:
        """Lose the next reply, other than an empty list, to a question that holds these bytes."""
        with self._lock:
            self._wanted = LostReply(question)
            return self._wanted

    def lose_none(self) -> None:
        """Forget about a reply that has not been lost."""
        with self._lock:
            self._wanted = None

    def _forward_questions(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(_PIECE_BYTES):
                self._look_at_question(client, piece)
                server.sendall(piece)
        _close(server)

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE_BYTES):
                if self._is_lost(client, piece):
                    _reset(client)
                    break
                client.sendall(piece)
        _close(client)
        _close(server)
        with self._lock:
            self._asked.pop(client, None)

    def _look_at_question(self, client: socket.socket, piece: bytes) -> None:
        with self._lock:
            if self._wanted is not None and self._wanted.question in piece:
                self._asked[client] = (self._wanted, piece)

    def _is_lost(self, client: socket.socket, answer: bytes) -> bool:
        with self._lock:
            lost, question = self._asked.pop(client, (None, b""))
            if lost is None or lost is not self._wanted or answer == _NOTHING:
                return False
            self._wanted = None
            lost.note(question, answer)
            return True
