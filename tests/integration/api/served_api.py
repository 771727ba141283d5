"""The API behind a real uvicorn on loopback, as an operator starts it, for raw sockets."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil

from energy_forecasting.launcher.ports import LOOPBACK
from tests.conftest import PROJECT_DIR, wait_until

IMPATIENT = "energy_forecasting.api.impatient_http:ImpatientHttp"
RECEIVED_BYTES = 65536


@dataclass(frozen=True, kw_only=True)
class ServedApi:
    """A running API."""

    port: int
    process: psutil.Process

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect((LOOPBACK, self.port))
        return connection

    def say(self, *parts: bytes) -> bytes:
        """Send bytes over a connection of their own and return what comes until its end.

        The sending side is closed after them, so the server knows that nothing follows.
        """
        with self.connect() as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has heard enough; what it said is still there
            return everything_from(connection)

    def is_healthy(self) -> bool:
        try:
            answer = httpx.get(f"http://{LOOPBACK}:{self.port}/health/", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss) / 2**20


def everything_from(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends, in good order or not."""
    got = bytearray()
    try:
        while part := connection.recv(RECEIVED_BYTES):
            got += part
    except ConnectionResetError:
        pass
    return bytes(got)


@contextmanager
def served_api(
    environment: dict[str, str], *, port: int, protocol: str = IMPATIENT
) -> Iterator[ServedApi]:
    """Run the API while the block lasts."""
    command = [sys.executable, "-m", "uvicorn", "main_dramatiq:app", "--host", LOOPBACK]
    command += ["--port", str(port), "--http", protocol, "--log-level", "warning"]
    process = subprocess.Popen(
        command, cwd=PROJECT_DIR, env={**os.environ, "LOG_FORMAT": "json", **environment}
    )
    served = ServedApi(port=port, process=psutil.Process(process.pid))
    try:
        wait_until(served.is_healthy, within_s=60)
        yield served
    finally:
        process.terminate()
        process.wait(20)
