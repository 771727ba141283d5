"""A stand-in for InfluxDB 2.x on a loopback port, as strict as the real one where we rely on it.

It checks each request (method, path, token, headers, dialect), runs its Flux over series held in
memory, so a wrong or injected query fails or finds nothing, and answers annotated CSV as the 2.x
API documents. It takes line protocol, too. It knows only the calls that the store sends; anything
else is a compile error, as in Flux. How it may misbehave stands in its attributes.
"""

import gzip
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.integration.meters.annotated_csv_writer import annotated_csv
from tests.integration.meters.flux_database import FluxDatabase
from tests.integration.meters.flux_language import SECOND_NS
from tests.integration.meters.flux_tables import Table
from tests.integration.meters.influx_refusal import Refusal
from tests.integration.meters.line_protocol_reader import Point, points

_DIALECT = {
    "header": True,
    "delimiter": ",",
    "annotations": ["datatype", "group", "default"],
    "commentPrefix": "#",
    "dateTimeFormat": "RFC3339",
}


class InfluxDouble(FluxDatabase):
    """The server; a context manager. What a test may switch are its public attributes."""

    token = "the-token"  # noqa: S105 - opens nothing
    org = "the-org"

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []  #: the Flux texts that arrived with a valid token
        self.writes: list[list[Point]] = []  #: that arrived with a valid token, taken or not
        self.complaints: list[str] = []  #: requests that no client of ours may send
        self.version = "v2.7.12"
        self.packs = True  #: gzips answers for those who ask for it
        self.tells_buckets = True  #: whether the token may list them
        self.bucket_keeps_s = 0  #: retention; 0 keeps for ever
        self.gzipped_answers = 0
        self.rows_per_table: int | None = None  #: starts a new table after so many rows
        self.chunk_bytes = 4096

        # Misbehaviour, of the queries that it is for.
        self.afflicts: Callable[[str], bool] = lambda _flux: True
        self.afflictions_left: int | None = None  #: None: it never ends
        self.refusals: deque[Refusal] = deque()  #: for the next queries, one each
        self.cuts_left = 0  #: queries whose connection is reset before an answer
        self.delay_s = 0.0  #: before the first byte
        self.chunk_delay_s = 0.0  #: before each chunk
        self.cut_after_bytes: int | None = None  #: resets the connection inside an answer
        self.packed_bytes_lost = 0  #: at the end of a gzipped answer, whole to look at
        self.rows_lost = 0  #: that an answer, whole to look at, ends too early
        self.error_after_tables: str | None = None  #: an error table ends the answer
        self.raw_answer: bytes | None = None  #: sent instead of a result

        # Misbehaviour of writes.
        self.write_refusals: deque[Refusal | None] = deque()  #: of the next ones; None lets pass
        self.write_cuts_left = 0  #: reset before they are taken
        self.lost_replies = 0  #: taken, then reset

        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def is_ill(self, flux: str) -> bool:
        """Tell whether the misbehaviour is for this query; each yes uses one up."""
        if self.afflictions_left == 0 or not self.afflicts(flux):
            return False
        if self.afflictions_left is not None:
            self.afflictions_left -= 1
        return True

    def encode(self, tables: list[Table], *, ill: bool) -> bytes:
        """Write a result as it goes out."""
        if ill and self.raw_answer is not None:
            return self.raw_answer
        if ill and self.rows_lost and tables:
            tables[-1].rows = tables[-1].rows[: -self.rows_lost]
        return annotated_csv(
            tables,
            rows_per_table=self.rows_per_table,
            error=self.error_after_tables if ill else None,
        )

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than the server runs."""
        self._stopping.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        double: InfluxDouble,
    ) -> None:
        super().__init__(address, handler)
        self.double = double

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay quiet: clients hang up on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 5
    disable_nagle_algorithm = True

    @property
    def double(self) -> InfluxDouble:
        return self.server.double

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path in {"/api/v2/buckets", "/api/v2/orgs"}:
            try:
                self._list(parts.path.rpartition("/")[2], parse_qs(parts.query))
            except Refusal as refusal:
                self._refuse(refusal)
            return
        if self.path != "/ping":
            self._refuse(self._complaint(f"GET {self.path}"))
            return
        self.double.wait(self.double.delay_s)
        if self.double.version.startswith("3"):  # it tells its version in the body
            self._pong(200, json.dumps({"version": self.double.version}).encode())
        else:
            self._pong(204, b"")

    def _list(self, what: str, asked: dict[str, list[str]]) -> None:
        """List buckets or organizations, as far as the token may see them."""
        double = self.double
        self._authorize()
        if asked.get("org", [double.org]) != [double.org]:
            raise Refusal(404, "not found", "organization name not found")
        rules = [{"type": "expire", "everySeconds": double.bucket_keeps_s}]
        buckets: list[dict[str, object]] = [
            {"name": "_monitoring", "type": "system"},
            {"name": "_tasks", "type": "system"},
            {"name": double.bucket, "type": "user", "retentionRules": rules},
        ]
        wanted = asked.get("name", [])
        listed = {
            "buckets": [each for each in buckets if not wanted or each["name"] in wanted],
            "orgs": [{"name": double.org}],
        }[what]
        body = json.dumps({what: listed if double.tells_buckets else []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path)
        asked = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        try:
            if parts.path == "/api/v2/query":
                self._query(body, asked)
            elif parts.path == "/api/v2/write":
                self._write(body, asked)
            else:
                raise self._complaint(f"POST {parts.path}")
        except Refusal as refusal:
            self._refuse(refusal)
        except ConnectionResetError:
            self._reset()

    def _query(self, body: bytes, asked: dict[str, list[str]]) -> None:
        double = self.double
        self._authorize()
        if not self.headers["Content-Type"].startswith("application/json"):
            raise self._complaint(f"Content-Type {self.headers['Content-Type']}")
        # The real server answers CSV to either; influxdb-client asks for JSON.
        if self.headers["Accept"] not in {"application/csv", "application/json"}:
            raise self._complaint(f"Accept {self.headers['Accept']}")
        query = json.loads(body)
        if not {"query", "dialect"} <= query.keys() <= {"query", "dialect", "type"}:
            raise self._complaint(f"keys {sorted(query)}")
        if query["dialect"] != _DIALECT:
            raise self._complaint(f"dialect {query['dialect']}")
        flux = query["query"]
        double.queries.append(flux)
        ill = double.is_ill(flux)
        if ill:
            double.wait(double.delay_s)
            if double.cuts_left:
                double.cuts_left -= 1
                raise ConnectionResetError
            if double.refusals:
                raise double.refusals.popleft()
        if asked != {"org": [double.org]}:
            raise Refusal(404, "not found", "organization name not found")
        self._stream(double.encode(double.run(flux), ill=ill), ill=ill)

    def _write(self, body: bytes, asked: dict[str, list[str]]) -> None:
        double = self.double
        self._authorize()
        if self.headers["Content-Type"] != "text/plain; charset=utf-8":
            raise self._complaint(f"Content-Type {self.headers['Content-Type']}")
        if "Content-Encoding" in self.headers:
            raise self._complaint(f"Content-Encoding {self.headers['Content-Encoding']}")
        if asked.keys() != {"org", "bucket", "precision"} or asked["precision"] != ["s"]:
            raise self._complaint(f"write with {asked}")
        read = points(body)
        double.writes.append(read)
        double.wait(double.delay_s)
        if double.write_cuts_left:
            double.write_cuts_left -= 1
            raise ConnectionResetError
        refusal = double.write_refusals.popleft() if double.write_refusals else None
        if refusal is not None:
            raise refusal
        if asked["org"] != [double.org]:
            raise Refusal(404, "not found", "organization name not found")
        if asked["bucket"] != [double.bucket]:
            raise Refusal(404, "not found", f'bucket "{asked["bucket"][0]}" not found')
        double.take(read)
        if double.lost_replies:
            double.lost_replies -= 1
            raise ConnectionResetError
        self.send_response(204)
        self.end_headers()

    def _authorize(self) -> None:
        if self.headers["Authorization"] != f"Token {self.double.token}":
            raise Refusal(401, "unauthorized", "unauthorized access")

    def _complaint(self, what: str) -> Refusal:
        self.double.complaints.append(what)
        return Refusal(400, "invalid", f"the double does not expect {what}")

    def _pong(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Influxdb-Build", "OSS")
        if body:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("X-Influxdb-Version", self.double.version)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, refusal: Refusal) -> None:
        self.send_response(refusal.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(refusal.body)))
        for name, value in refusal.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(refusal.body)

    def _stream(self, answer: bytes, *, ill: bool) -> None:
        double = self.double
        cut_after = double.cut_after_bytes if ill else None
        self.send_response(200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        if double.packs and "gzip" in self.headers.get("Accept-Encoding", ""):
            double.gzipped_answers += 1
            self.send_header("Content-Encoding", "gzip")
            answer = gzip.compress(answer)
            answer = answer[: len(answer) - (double.packed_bytes_lost if ill else 0)]
        self.end_headers()
        for at in range(0, len(answer), double.chunk_bytes):
            if cut_after is not None and at >= cut_after:
                self._reset()
                return
            if ill:
                double.wait(double.chunk_delay_s)
            piece = answer[at : at + double.chunk_bytes]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        """Close the connection so that the client sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def nanoseconds(moment: datetime) -> int:
    """Return an aware moment as nanoseconds since 1970."""
    return int(moment.timestamp()) * SECOND_NS
