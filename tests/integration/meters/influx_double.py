"""A stand-in for InfluxDB 2.x on a loopback port, as strict as the real one where we rely on it.

It checks each request (method, path, token, headers, dialect), parses the Flux text with a
grammar of its own and runs it over series held in memory, so a wrong or injected query fails
or finds nothing. It answers annotated CSV as the 2.x API documents. It knows only the calls
that the store sends; anything else is a compile error, as in Flux.
"""

import csv
import gzip
import io
import json
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History

Value = float | str | int | None
Row = dict[str, Value]  # times as nanoseconds since 1970
Predicate = Callable[[Row], bool]

_SECOND_NS = 1_000_000_000
_DIALECT = {
    "header": True,
    "delimiter": ",",
    "annotations": ["datatype", "group", "default"],
    "commentPrefix": "#",
    "dateTimeFormat": "RFC3339",
}


class _Writer(Protocol):
    """What ``csv.writer`` gives."""

    def writerow(self, row: Iterable[object]) -> object: ...


class Refusal(Exception):
    """What the server answers instead of a result."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"code": code, "message": message}).encode()
        self.headers = headers or {}


def _compile_error(what: str) -> Refusal:
    return Refusal(400, "invalid", f"compilation failed: error @1:1-1:2: {what}")


# --- Flux ------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<space>[ \n]+)
      | (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>\|>|=>|==|[()\[\]:,])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|\$\{|.)|(\$\{)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "${": "${"}


def unquoted(literal: str) -> str:
    """Read a Flux string literal as Flux does; interpolation is refused."""

    def replaced(found: re.Match[str]) -> str:
        escape, interpolation = found.groups()
        if interpolation:
            raise _compile_error("string interpolation")
        if escape.startswith("x") and len(escape) == 3:
            return chr(int(escape[1:], 16))
        if escape not in _PLAIN_ESCAPES:
            raise _compile_error(f"invalid escape {escape!r}")
        return _PLAIN_ESCAPES[escape]

    return _ESCAPED.sub(replaced, literal[1:-1])


def _tokens(flux: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(flux):
        found = _TOKEN.match(flux, at)
        if not found or not found.lastgroup:
            raise _compile_error(f"unexpected {flux[at : at + 10]!r}")
        at = found.end()
        if found.lastgroup != "space":
            yield found.lastgroup, found.group()
    yield "end", ""


@dataclass
class Call:
    """One call of a pipeline with its named arguments."""

    name: str
    arguments: dict[str, object]


class FluxParser:
    """Recursive descent over ``call { "|>" call }``."""

    def __init__(self, flux: str) -> None:
        self._left = deque(_tokens(flux))

    def pipeline(self) -> list[Call]:
        calls = [self._call()]
        while self._accept("|>"):
            calls.append(self._call())
        if self._left[0][0] != "end":
            raise _compile_error(f"unexpected {self._left[0][1]!r} after the pipeline")
        return calls

    def _accept(self, text: str) -> bool:
        if self._left[0][1] == text and self._left[0][0] in {"sign", "word"}:
            self._left.popleft()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _compile_error(f"expected {text!r}, got {self._left[0][1]!r}")

    def _take(self, kind: str) -> str:
        found, text = self._left.popleft()
        if found != kind:
            raise _compile_error(f"expected a {kind}, got {text!r}")
        return text

    def _call(self) -> Call:
        name = self._take("word")
        arguments: dict[str, object] = {}
        self._expect("(")
        if not self._accept(")"):
            while True:
                argument = self._take("word")
                self._expect(":")
                arguments[argument] = self._value()
                if not self._accept(","):
                    break
            self._expect(")")
        return Call(name, arguments)

    def _value(self) -> object:
        kind, _ = self._left[0]
        if kind == "string":
            return self._string()
        if kind == "time":
            moment = datetime.fromisoformat(self._take("time"))
            return int(moment.timestamp()) * _SECOND_NS
        if self._accept("["):
            listed = [self._string()]
            while self._accept(","):
                listed.append(self._string())
            self._expect("]")
            return listed
        for sign in ("(", "r", ")", "=>"):
            self._expect(sign)
        return self._any_of()

    def _string(self) -> str:
        return unquoted(self._take("string"))

    def _any_of(self) -> Predicate:
        terms = [self._all_of()]
        while self._accept("or"):
            terms.append(self._all_of())
        return lambda row: any(term(row) for term in terms)

    def _all_of(self) -> Predicate:
        terms = [self._comparison()]
        while self._accept("and"):
            terms.append(self._comparison())
        return lambda row: all(term(row) for term in terms)

    def _comparison(self) -> Predicate:
        if self._accept("("):
            inner = self._any_of()
            self._expect(")")
            return inner
        self._expect("r")
        self._expect("[")
        column = self._string()
        self._expect("]")
        self._expect("==")
        wanted = self._string()
        return lambda row: row.get(column) == wanted


# --- Tables ----------------------------------------------------------------------------------


@dataclass
class Table:
    """A table of a stream: rows that share the values of the group key."""

    key: Row
    columns: dict[str, str]  # label to datatype
    rows: list[Row]


@dataclass
class Series:
    """Points of one field with one set of tags."""

    tags: dict[str, str]
    datatype: str
    points: list[tuple[int, Value]] = field(default_factory=list)


def _filtered(tables: list[Table], predicate: Predicate) -> list[Table]:
    return [table for table in tables if predicate(table.key)]


def _one_of_each(tables: list[Table], place: int) -> list[Table]:
    return [
        Table(table.key, table.columns, [sorted(table.rows, key=_time_of)[place]])
        for table in tables
    ]


def _time_of(row: Row) -> int:
    return int(row["_time"] or 0)


def _counted(tables: list[Table]) -> list[Table]:
    counted = []
    for table in tables:
        columns = {label: kind for label, kind in table.columns.items() if label != "_time"}
        row = {**table.key, "_value": len(table.rows)}
        counted.append(Table(table.key, {**columns, "_value": "long"}, [row]))
    return counted


def _kept(tables: list[Table], labels: list[str]) -> list[Table]:
    cut = [
        Table(
            {label: value for label, value in table.key.items() if label in labels},
            {label: kind for label, kind in table.columns.items() if label in labels},
            [{label: row[label] for label in labels if label in row} for row in table.rows],
        )
        for table in tables
    ]
    return _merged(cut)


def _ungrouped(tables: list[Table]) -> list[Table]:
    return _merged([Table({}, table.columns, table.rows) for table in tables])


def _merged(tables: list[Table]) -> list[Table]:
    merged: list[Table] = []
    for table in tables:
        same = [other for other in merged if other.key == table.key]
        if not same:
            merged.append(table)
        elif same[0].columns != table.columns:
            raise Refusal(500, "internal error", "schema collision detected")
        else:
            same[0].rows = same[0].rows + table.rows
    return merged


# --- The server ------------------------------------------------------------------------------


class InfluxDouble:
    """The server; a context manager. What a test may switch are its public attributes."""

    token = "the-token"  # noqa: S105 - opens nothing
    org = "the-org"
    bucket = "the-bucket"
    measurement = "energy_consumption"

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.queries: list[str] = []  #: the Flux texts that arrived with a valid token
        self.complaints: list[str] = []  #: requests that no client of ours may send
        self.gzipped_answers = 0
        self.refusals: deque[Refusal] = deque()  #: for the next queries, one each
        self.rows_per_table: int | None = None  #: starts a new table after so many rows
        self.chunk_bytes = 4096
        self.cut_after_bytes: int | None = None  #: resets the connection inside an answer
        self.cuts_left = 0  #: queries whose connection is reset before an answer
        self.delay_s = 0.0  #: before the first byte
        self.chunk_delay_s = 0.0  #: before each chunk
        self.error_after_tables: str | None = None  #: an error table ends the answer
        self.raw_answer: bytes | None = None  #: sent instead of a result
        self.version = "v2.7.12"
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

    def add_history(self, meter: Meter, history: History, **more_tags: str) -> None:
        """Hold a meter's history; NaN means that there is no point."""
        seconds = history.timestamps.astype(np.int64).tolist()
        for name, values in (
            ("consumption", history.consumption),
            ("temperature", history.temperature),
        ):
            known = zip(seconds, values.tolist(), strict=True)
            self.add_points(
                meter,
                name,
                ((at * _SECOND_NS, value) for at, value in known if not np.isnan(value)),
                **more_tags,
            )

    def add_points(
        self,
        meter: Meter,
        name: str,
        points: Iterable[tuple[int, Value]],
        *,
        datatype: str = "double",
        **more_tags: str,
    ) -> None:
        """Hold points of one field, times in nanoseconds since 1970."""
        held = list(points)
        if held:
            tags = {
                "_measurement": self.measurement,
                "_field": name,
                "meter_type": meter.meter_type,
                "meter_id": meter.meter_id,
                **more_tags,
            }
            self.series.append(Series(tags, datatype, held))

    def run(self, flux: str) -> list[Table]:
        """Parse and run a query."""
        source, *calls = FluxParser(flux).pipeline()
        if source.name != "from" or source.arguments.keys() != {"bucket"}:
            raise _compile_error("expected from(bucket:)")
        if source.arguments["bucket"] != self.bucket:
            raise Refusal(
                404,
                "not found",
                "failed to initialize execute state: could not find bucket "
                f'"{source.arguments["bucket"]}"',
            )
        if not calls or calls[0].name != "range":
            raise Refusal(400, "invalid", "cannot submit unbounded read; try bounding with 'range'")
        tables: list[Table] = []
        for call in calls:
            tables = self._applied(call, tables)
        return tables

    def _applied(self, call: Call, tables: list[Table]) -> list[Table]:  # noqa: PLR0911
        match (call.name, call.arguments):
            case ("range", {"start": int(start), "stop": int(stop), **rest}) if not rest:
                return self._between(start, stop)
            case ("filter", {"fn": predicate, **rest}) if callable(predicate) and not rest:
                return _filtered(tables, predicate)
            case ("first", {**none}) if not none:
                return _one_of_each(tables, 0)
            case ("last", {**none}) if not none:
                return _one_of_each(tables, -1)
            case ("count", {**none}) if not none:
                return _counted(tables)
            case ("keep", {"columns": list(labels), **rest}) if not rest:
                return _kept(tables, labels)
            case ("group", {**none}) if not none:
                return _ungrouped(tables)
            case _:
                raise _compile_error(f"undefined {call.name} with {sorted(call.arguments)}")

    def _between(self, start: int, stop: int) -> list[Table]:
        if start >= stop:
            raise Refusal(400, "invalid", "cannot query an empty range")
        tables = []
        for series in self.series:
            key: Row = {"_start": start, "_stop": stop, **series.tags}
            columns = {
                "_start": "dateTime:RFC3339",
                "_stop": "dateTime:RFC3339",
                "_time": "dateTime:RFC3339",
                "_value": series.datatype,
                **dict.fromkeys(series.tags, "string"),
            }
            rows: list[Row] = [
                {**key, "_time": at, "_value": value}
                for at, value in sorted(series.points, key=lambda point: point[0])
                if start <= at < stop
            ]
            if rows:
                tables.append(Table(key, columns, rows))
        return tables

    def encode(self, tables: list[Table]) -> bytes:
        """Write tables as annotated CSV, lines ended by CRLF, tables by a blank line."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        number = 0
        for table in tables:
            step = self.rows_per_table or max(len(table.rows), 1)
            for at in range(0, len(table.rows), step):
                self._write_table(writer, number, table, table.rows[at : at + step])
                text.write("\r\n")
                number += 1
        if self.error_after_tables is not None:
            writer.writerows(
                [
                    ["#datatype", "string", "long"],
                    ["#group", "true", "true"],
                    ["#default", "", ""],
                    ["", "error", "reference"],
                    ["", self.error_after_tables, "897"],
                ]
            )
        return (text.getvalue() or "\r\n").encode()

    def _write_table(self, writer: "_Writer", number: int, table: Table, rows: list[Row]) -> None:
        labels = list(table.columns)
        group = [str(label in table.key).lower() for label in labels]
        writer.writerow(["#datatype", "string", "long", *table.columns.values()])
        writer.writerow(["#group", "false", "false", *group])
        writer.writerow(["#default", "_result", "", *[""] * len(labels)])
        writer.writerow(["", "result", "table", *labels])
        for row in rows:
            cells = [_cell(row[label], table.columns[label]) for label in labels]
            writer.writerow(["", "", number, *cells])

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than the server runs."""
        self._stopping.wait(seconds)


def _cell(value: Value, datatype: str) -> str:
    if value is None:
        return ""
    if datatype.startswith("dateTime"):
        seconds, nanoseconds = divmod(int(value), _SECOND_NS)
        moment = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
        return f"{moment}{fraction}Z"
    return str(value)


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
        if self.path != "/ping":
            self._refuse(self._complaint(f"GET {self.path}"))
            return
        self.double.wait(self.double.delay_s)
        self.send_response(204)
        self.send_header("X-Influxdb-Build", "OSS")
        self.send_header("X-Influxdb-Version", self.double.version)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            answer = self._answer(body)
        except Refusal as refusal:
            self._refuse(refusal)
        except ConnectionResetError:
            self._reset()
        else:
            self._stream(answer)

    def _answer(self, body: bytes) -> bytes:
        parts = urlsplit(self.path)
        if parts.path != "/api/v2/query":
            raise self._complaint(f"POST {parts.path}")
        if self.headers["Authorization"] != f"Token {self.double.token}":
            raise Refusal(401, "unauthorized", "unauthorized access")
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
        self.double.queries.append(query["query"])
        self.double.wait(self.double.delay_s)
        if self.double.cuts_left:
            self.double.cuts_left -= 1
            raise ConnectionResetError
        if self.double.refusals:
            raise self.double.refusals.popleft()
        if parse_qs(parts.query) != {"org": [self.double.org]}:
            raise Refusal(404, "not found", "organization name not found")
        tables = self.double.run(query["query"])
        raw = self.double.raw_answer
        return self.double.encode(tables) if raw is None else raw

    def _complaint(self, what: str) -> Refusal:
        self.double.complaints.append(what)
        return Refusal(400, "invalid", f"the double does not expect {what}")

    def _refuse(self, refusal: Refusal) -> None:
        self.send_response(refusal.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(refusal.body)))
        for name, value in refusal.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(refusal.body)

    def _stream(self, answer: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.double.gzipped_answers += 1
            self.send_header("Content-Encoding", "gzip")
            answer = gzip.compress(answer)
        self.end_headers()
        for at in range(0, len(answer), self.double.chunk_bytes):
            if self.double.cut_after_bytes is not None and at >= self.double.cut_after_bytes:
                self._reset()
                return
            self.double.wait(self.double.chunk_delay_s)
            piece = answer[at : at + self.double.chunk_bytes]
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
    return int(moment.timestamp()) * _SECOND_NS
