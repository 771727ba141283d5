"""Speaks TLS in front of a server on loopback that does not, and remembers what passed by."""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from energy_forecasting.launcher.ports import LOOPBACK
from tests.certificates import Certificates

_PIECE_BYTES = 65536


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
        self._pumps: list[threading.Thread] = []

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
        for pump in self._pumps:
            pump.join()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        with plain:
            plain.settimeout(5)
            try:
                client = self._context.wrap_socket(plain, server_side=True)
            except OSError:
                return  # the client does not trust us, or speaks no TLS
            with client, socket.create_connection((LOOPBACK, self._target_port)) as server:
                server.settimeout(5)
                back = self._start(self._pump, server, client)
                self._pump(client, server)
                back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                self.passed += piece
                sink.sendall(piece)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._pumps.append(thread)
        thread.start()
        return thread
