"""Stands between a client and a server on loopback, and spoils what the server answers.

It can let answers drip, hold one midway and cut one midway, and be away altogether. It counts
bytes, it does not read them, so it knows neither HTTP nor where one answer ends and the next
begins.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from energy_forecasting.launcher.ports import LOOPBACK

_PIECE_BYTES = 4096
#: Small, so that a held answer waits in the server and not in buffers on its way.
_BUFFER_BYTES = 4096
_JOIN_LIMIT_S = 5.0


class TcpProxy:
    """Forwards connections to a port; what it does to answers may be changed at any time.

    Args:
        target_port: of the server.
        port: where clients connect; 0: any that is free.
    """

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.target_port = target_port
        #: Pause after each 4 kB of an answer.
        self.pause_s = 0.0
        #: Reset the connection after so many more bytes of answers; None: never.
        self.cut_after_bytes: int | None = None
        #: Cut what comes after the first cut, too.
        self.keeps_cutting = False
        #: Reset whoever connects.
        self.refuses = False
        self._hold_after_bytes: int | None = None
        self._is_holding = threading.Event()
        self._may_go_on = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, port))
        self.port = int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients go instead of the server."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """Begin to accept connections."""
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cut every connection and wait for the threads."""
        self._may_go_on.set()
        # Closing alone would not wake a thread that waits for a connection.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._sockets:
                _close(each)
        for thread in self._threads:
            thread.join(_JOIN_LIMIT_S)
            assert not thread.is_alive()

    @contextmanager
    def holding_after(self, byte_count: int) -> Iterator[threading.Event]:
        """Hold answers once so many bytes have passed; go on when the block ends.

        Yields what is set as soon as an answer is held.
        """
        self._is_holding.clear()
        self._may_go_on.clear()
        self._hold_after_bytes = byte_count
        try:
            yield self._is_holding
        finally:
            self._hold_after_bytes = None
            self._may_go_on.set()

    def cut(self) -> None:
        """Reset every connection that there is."""
        with self._lock:
            cut, self._sockets = self._sockets, set()
        for each in cut:
            _reset(each)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be as a server that has gone, until the block ends."""
        self.refuses = True
        self.cut()
        try:
            yield
        finally:
            self.refuses = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                _reset(client)
                continue
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            with self._lock:
                self._sockets |= {client, server}
            try:
                server.connect((LOOPBACK, self.target_port))
            except OSError:
                _reset(client)
                _close(server)
                continue
            self._run(self._forward_questions, client, server)
            self._run(self._forward_answers, client, server)

    def _forward_questions(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(_PIECE_BYTES):
                server.sendall(piece)
        _close(server)

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE_BYTES):
                if self._is_time_to_cut(len(piece)):
                    _reset(client)
                    break
                if self._is_time_to_hold(len(piece)):
                    self._is_holding.set()
                    self._may_go_on.wait()
                client.sendall(piece)
                if self.pause_s:
                    time.sleep(self.pause_s)
        _close(client)
        _close(server)

    def _is_time_to_cut(self, byte_count: int) -> bool:
        with self._lock:
            if self.cut_after_bytes is None:
                return False
            self.cut_after_bytes -= byte_count
            if self.cut_after_bytes >= 0:
                return False
            if not self.keeps_cutting:
                self.cut_after_bytes = None
            return True

    def _is_time_to_hold(self, byte_count: int) -> bool:
        with self._lock:
            if self._hold_after_bytes is None:
                return False
            self._hold_after_bytes -= byte_count
            return self._hold_after_bytes < 0

    def _run(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _close(connection: socket.socket) -> None:
    """End a connection in good order; one that has ended is no error."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _reset(connection: socket.socket) -> None:
    """End a connection as a dying machine or a firewall does."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes the thread that waits for a question; the connection lives as long as it waits.
        connection.shutdown(socket.SHUT_RD)
    connection.close()
