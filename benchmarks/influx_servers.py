"""The servers that ``benchmarks/influxdb.py`` reads from: a real one, and a replay of answers."""

import gzip
import json
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.influx_cases import CASES, METER, Case
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.influx_server import InfluxServer
from tests.integration.meters.annotated_csv_writer import annotated_csv
from tests.integration.meters.flux_tables import Table
from tests.integration.meters.influx_double import InfluxDouble

#: What a tutorial ends its query with, so that the fields become columns.
PIVOT = '\n  |> pivot(rowKey:["_time"], columnKey: ["_field"], valueColumn: "_value")'


@contextmanager
def real_server(folder: Path) -> Iterator[dict[str, Any]]:
    """Run influxd with one database per case."""
    binary = shutil.which("influxd")
    if binary is None:
        raise SystemExit("influxd was not found; install Debian's package influxdb.")
    server = InfluxServer(binary, folder)
    server.start()
    try:
        login = {"username": server.member.name, "password": server.member.password}
        for name, case in CASES.items():
            server.create_database(name)
            store = InfluxMeterStore(
                InfluxConfig.model_validate({"url": server.url, "database": name, **login})
            )
            store.write_readings(METER, iter([case.history()]))
            store.close()
        yield {"url": server.url, **login}
    finally:
        server.close()


class Replay(ThreadingHTTPServer):
    """Sends prepared answers to Flux queries; what is asked first is worked out by the double."""

    daemon_threads = True

    def __init__(self, case: Case) -> None:
        super().__init__(("127.0.0.1", 0), _ReplayHandler)
        self.double = InfluxDouble()
        self.double.add_history(METER, case.history())
        self.prepared: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def answer(self, flux: str) -> bytes:
        """Return the gzipped answer."""
        with self._lock:
            if flux not in self.prepared:
                plain, pivoted, _ = flux.partition(PIVOT)
                tables = self.double.run(plain)
                encoded = _pivoted(tables) if pivoted else annotated_csv(tables)
                self.prepared[flux] = gzip.compress(encoded, 6)
            return self.prepared[flux]


def _pivoted(tables: list[Table]) -> bytes:
    """Encode as the server would after a pivot: one row per time, a column per field."""
    times: dict[Any, dict[str, Any]] = defaultdict(dict)
    for table in tables:
        for row in table.rows:
            times[row["_time"]][str(table.key["_field"])] = row["_value"]
    fields = sorted({name for row in times.values() for name in row})
    labels = ["_start", "_stop", "_time", "_measurement", "meter_id", "meter_type", *fields]
    kinds = ["dateTime:RFC3339"] * 3 + ["string"] * 3 + ["double"] * len(fields)
    lines = [
        ",".join(["#datatype", "string", "long", *kinds]),
        ",".join(["#group", *["false"] * (2 + len(labels))]),
        ",".join(["#default", "_result", *[""] * (1 + len(labels))]),
        ",".join(["", "result", "table", *labels]),
    ]
    edges = "2014-01-01T00:00:00Z,2025-01-01T00:00:01Z"
    names = f"energy_consumption,{METER.meter_id},{METER.meter_type}"
    for at, row in times.items():
        moment = np.datetime64(at // 10**9, "s")
        values = ",".join(str(row.get(name, "")) for name in fields)
        lines.append(f",,0,{edges},{moment}Z,{names},{values}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _ReplayHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Replay

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""

    def do_POST(self) -> None:
        """Answer a query."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.answer(json.loads(body)["query"])
        self.send_response(200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def replay(case: Case) -> Iterator[dict[str, Any]]:
    """Run a replay of one case; the first asking of each query prepares its answer."""
    with Replay(case) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        double = server.double
        try:
            yield {
                "url": f"http://127.0.0.1:{server.server_port}",
                "token": double.token,
                "org": double.org,
                "bucket": double.bucket,
            }
        finally:
            server.shutdown()
            thread.join()
