"""Speaks TLS in front of a server on loopback that does not, and remembers what passed by."""

import contextlib
import select
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from energy_forecasting.launcher.ports import LOOPBACK
from tests.certificates import Certificates

_PIECE_BYTES = 65536
_SILENCE_LIMIT_S = 5.0


class TlsFront:
    """A context manager; ``passed`` holds both directions of all connections in plain."""

    def __init__(self, target_port: int, certificates: Certificates) -> None:
        self.passed = bytearray()
        self._target_port = target_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.certificate, certificates.key)
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept)
        self._relays: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for relay in self._relays:
            relay.join()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(plain)

    def _serve(self, plain: socket.socket) -> None:
        with plain:
            plain.settimeout(_SILENCE_LIMIT_S)
            try:
                client = self._context.wrap_socket(plain, server_side=True)
            except OSError:
                return  # the client does not trust us, or speaks no TLS
            with client, socket.create_connection((LOOPBACK, self._target_port)) as server:
                server.settimeout(_SILENCE_LIMIT_S)
                with contextlib.suppress(OSError):
                    self._relay(client, server)

    def _relay(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        """Pass bytes both ways until one side ends; one thread, as OpenSSL allows no two."""
        while True:
            # What is decrypted already does not wake select.
            ready: list[socket.socket] = [client] if client.pending() else []
            ready = ready or select.select([client, server], [], [], _SILENCE_LIMIT_S)[0]
            if not ready:
                return
            for source in ready:
                piece = source.recv(_PIECE_BYTES)
                if not piece:
                    return
                self.passed += piece
                (server if source is client else client).sendall(piece)

    def _start(self, plain: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=[plain])
        self._relays.append(thread)
        thread.start()
