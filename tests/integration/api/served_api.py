"""The API behind a real uvicorn on loopback, as an operator starts it, for raw sockets."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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

    def is_healthy(self) -> bool:
        try:
            answer = httpx.get(f"http://{LOOPBACK}:{self.port}/health/", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss) / 2**20


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: str
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        told = json.loads(self.body)
        assert told["detail"] == told["error"]["message"]
        return dict(told["error"])


def answer_on(connection: socket.socket) -> Answer:
    """Wait for one answer, which ends by its ``Content-Length`` or with the connection.

    Raises:
        EOFError: the connection ended without one.
    """
    got = bytearray()
    while b"\r\n\r\n" not in got:
        got += _part(connection)
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    headers = head.decode("latin-1").lower()
    length = headers.partition("content-length:")[2].split("\r\n")[0].strip()
    try:
        while not length or len(body) < int(length):
            body += _part(connection)
    except EOFError:
        if length:
            raise
    return Answer(status=int(head[9:12]), headers=headers, body=body[: int(length or len(body))])


def _part(connection: socket.socket) -> bytes:
    try:
        part = connection.recv(RECEIVED_BYTES)
    except ConnectionResetError:
        part = b""
    if not part:
        raise EOFError
    return part


@contextmanager
def served_api(
    environment: dict[str, str], *, port: int, protocol: str = IMPATIENT
) -> Iterator[ServedApi]:
    """Run the API while the block lasts."""
    command = [sys.executable, "-m", "uvicorn", "main_dramatiq:app", "--host", LOOPBACK]
    command += ["--port", str(port), "--http", protocol, "--log-level", "warning"]
    # No keys are asked for, whatever the developer has.
    keys = f"{environment['LOG_DIR']}/no_keys.json"
    quiet = {"LOG_FORMAT": "json", "API_KEYS": keys, "REQUIRE_API_KEY": "false"}
    process = subprocess.Popen(command, cwd=PROJECT_DIR, env={**os.environ, **quiet, **environment})
    served = ServedApi(port=port, process=psutil.Process(process.pid))
    try:
        wait_until(served.is_healthy, within_s=60)
        yield served
    finally:
        process.terminate()
        process.wait(20)
