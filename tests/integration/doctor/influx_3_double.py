"""A stand-in for InfluxDB 3 Core: the outside of 3.x around the tests' real 1.x.

Written after the source of InfluxDB 3 (influxdb3_server, ``http.rs`` and ``http/v1.rs``): /ping and
every question want a token; /ping tells the version in its body; Flux and the calls of 2.x are not
there; each piece of CSV has a header of its own, a null is written out, and no name is quoted. What
it makes of InfluxQL itself is that of 1.x.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.influx_server import InfluxServer

_ROWS_PER_PIECE = 50


class Influx3Double:
    """The server; a context manager."""

    token = "apiv3_the-token"  # noqa: S105 - opens nothing

    def __init__(self, inside: InfluxServer) -> None:
        self.tells_databases = True  #: some versions fail to
        self.inside = inside
        self.http = httpx.Client(auth=(inside.reader.name, inside.reader.password))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
        self._server.RequestHandlerClass.double = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_arguments: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.http.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: Influx3Double

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        given = self.headers.get("Authorization", "")
        if given not in {f"Token {self.double.token}", f"Bearer {self.double.token}"}:
            self._answer(401, b'{"error": "the request was not authenticated"}')
        elif parts.path == "/ping":
            told = {"version": "3.9.1", "revision": "0a1b2c3", "process_id": "5e"}
            self._answer(200, json.dumps(told).encode())
        elif parts.path != "/query":
            self._answer(404, b"not found", "text/plain")
        elif "SHOW+DATABASES" in parts.query and not self.double.tells_databases:
            self._answer(500, b"unexpected query error: tried to push row", "text/plain")
        else:
            self._ask(parts.query)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(404, b"not found", "text/plain")

    def _ask(self, query: str) -> None:
        accept = self.headers["Accept"]
        asked = f"{self.double.inside.url}/query?{query}"
        answer = self.double.http.get(asked, headers={"Accept": accept})
        body = answer.content
        if accept == "application/csv":
            body = _as_3x_writes_it(body)
        self._answer(answer.status_code, body, accept)

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _as_3x_writes_it(answer: bytes) -> bytes:
    header, *rows = answer.decode().splitlines()
    written = [
        ",".join([name, tags, *(cell or "null" for cell in cells)])
        for name, tags, *cells in (row.split(",") for row in rows if row)
    ]
    pieces = [
        "\n".join([header, *written[at : at + _ROWS_PER_PIECE]]) + "\n\r\n"
        for at in range(0, len(written), _ROWS_PER_PIECE)
    ]
    return "".join(pieces).encode()
