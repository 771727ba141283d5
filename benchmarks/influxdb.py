"""How fast a history comes out of InfluxDB, and how much memory it takes on the way.

``python -m benchmarks.influxdb [--rounds N]`` from the project folder, in an environment made from
``requirements-bench.txt``, with ``influxd`` (1.6.7) installed.

Protocol: one meter with consumption and temperature; the system reads as a training does. Each
measurement in a fresh process, everything imported before; rounds alternate between the methods;
medians, and peak memory above what was held before. *InfluxQL* is a real influxd 1.6.7 on loopback,
authentication on; the opponent reads everything into a data frame, as tutorials do. *Flux* is a
replay: a local server sends prepared answers of InfluxDB 2.x, gzipped, so its own work does not count
and only that of the client does; the opponent is ``query_data_frame`` of influxdb-client, for plain
rows and for rows pivoted by the server. Caveats: one machine, loopback, random values; a real
2.x server adds its own time, most of all for the pivot.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from collections.abc import Iterator
from typing import Any

import numpy as np
import urllib3

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History, to_datetime64
from energy_forecasting.domain.resolutions import FINE_READINGS
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore

METER = Meter(meter_type="electricity", meter_id="office")
LAST = datetime(2025, 1, 1, tzinfo=UTC)
KIBIBYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Case:
    """A history to read."""

    title: str
    readings: int
    step: timedelta

    def history(self) -> History:
        """Make it up; the same each time."""
        random = np.random.default_rng(7)
        step_s = int(self.step.total_seconds())
        first = to_datetime64(LAST) - (self.readings - 1) * step_s
        return History(
            timestamps=first + np.arange(self.readings) * step_s,
            consumption=np.round(random.gamma(2.0, 3.0, self.readings), 3),
            temperature=np.round(random.normal(10, 6, self.readings), 2),
        )

    @property
    def start(self) -> datetime:
        """The first moment."""
        return LAST - (self.readings - 1) * self.step


CASES = {
    "hourly": Case(title="a year, hourly", readings=8_760, step=timedelta(hours=1)),
    "minutes": Case(title="a year, 1 minute", readings=525_600, step=timedelta(minutes=1)),
    "quarters": Case(title="ten years, 15 minutes", readings=350_400, step=timedelta(minutes=15)),
}


def read_by_product(server: dict[str, Any], case: Case) -> int:
    """Read as a training does."""
    store = InfluxMeterStore(InfluxConfig.model_validate({**server, "timeout_s": 300}))
    history = store.read_history(METER, start=case.start, whole_hours_before=LAST - FINE_READINGS)
    store.close()
    return len(history)


def read_everything(server: dict[str, Any], case: Case) -> int:
    """Read all rows and columns in one JSON answer and make a data frame of them."""
    import pandas as pd

    query = f"SELECT * FROM energy_consumption WHERE meter_id = '{METER.meter_id}'"  # noqa: S608
    headers = urllib3.make_headers(basic_auth=f"{server['username']}:{server['password']}")
    answer = urllib3.request(
        "GET",
        f"{server['url']}/query",
        fields={"db": server["database"], "q": query},
        headers=headers,
    )
    (series,) = answer.json()["results"][0]["series"]
    frame = pd.DataFrame(series["values"], columns=series["columns"])
    frame["time"] = pd.to_datetime(frame["time"])
    return len(frame.set_index("time"))


def flux_frame(server: dict[str, Any], case: Case, pivot: str = "") -> int:
    """Read with influxdb-client's ``query_data_frame`` and join the fields."""
    import pandas as pd
    from influxdb_client import InfluxDBClient

    with InfluxDBClient(
        url=server["url"],
        token=server["token"],
        org=server["org"],
        enable_gzip=True,
        timeout=600_000,
    ) as client:
        frames = client.query_api().query_data_frame(everything_in_flux(server, case) + pivot)
    frame = pd.concat(frames) if isinstance(frames, list) else frames
    if pivot:
        return len(frame.set_index("_time"))
    return len(frame.pivot(index="_time", columns="_field", values="_value"))


def everything_in_flux(server: dict[str, Any], case: Case) -> str:
    """Write the query as tutorials do."""
    return (
        f'from(bucket: "{server["bucket"]}")\n'
        f"  |> range(start: {case.start:%Y-%m-%dT%H:%M:%SZ}, "
        f"stop: {LAST + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ})\n"
        '  |> filter(fn: (r) => r["_measurement"] == "energy_consumption" '
        f'and r["meter_id"] == "{METER.meter_id}")'
    )


PIVOT = '\n  |> pivot(rowKey:["_time"], columnKey: ["_field"], valueColumn: "_value")'


def pivoted_frame(server: dict[str, Any], case: Case) -> int:
    """Read a frame that the server pivoted."""
    return flux_frame(server, case, PIVOT)


Method = Callable[[dict[str, Any], Case], int]
INFLUXQL: dict[str, Method] = {
    "energy_forecasting": read_by_product,
    "everything into a frame": read_everything,
}
FLUX: dict[str, Method] = {
    "energy_forecasting": read_by_product,
    "query_data_frame": flux_frame,
    "query_data_frame, pivoted": pivoted_frame,
}


def measure(method: Method, server: dict[str, Any], case: Case) -> dict[str, float]:
    """Read once; seconds and megabytes of peak memory above what was held before."""
    warnings.simplefilter("ignore")  # influxdb-client advises against rows without pivot
    import influxdb_client  # noqa: F401 - imported before the clock starts
    import pandas as pd  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    rows = method(server, case)
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "megabytes": grown / KIBIBYTES, "rows": rows}


def measured_apart(language: str, method: str, case: str, server: dict[str, Any]) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.influxdb", "--measure", language, method, case]
    environment = {**os.environ, "BENCHMARK_SERVER": json.dumps(server)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(
    language: str, methods: dict[str, Method], server: dict[str, Any], rounds: int, case: str
) -> None:
    """Measure the methods in turns and print medians and ratios."""
    taken: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for method in methods:
            taken[method].append(measured_apart(language, method, case, server))

    def median(method: str, figure: str) -> float:
        return statistics.median(each[figure] for each in taken[method])

    ours = next(iter(methods))
    for method in methods:
        seconds, megabytes = median(method, "seconds"), median(method, "megabytes")
        print(
            f"| {CASES[case].title} | {language} | {method} | {seconds:.3f} | "
            f"{seconds / median(ours, 'seconds'):.1f} | {megabytes:.0f} | "
            f"{median(method, 'rows'):,.0f} |"
        )


# --- Servers -----------------------------------------------------------------------------------


@contextmanager
def real_server(folder: Path) -> Iterator[dict[str, Any]]:
    """Run influxd with one database per case."""
    from tests.influx_server import InfluxServer

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
        from tests.integration.meters.influx_double import InfluxDouble

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
                encoded = _pivoted(tables) if pivoted else self.double.encode(tables)
                self.prepared[flux] = gzip.compress(encoded, 6)
            return self.prepared[flux]


def _pivoted(tables: list[Any]) -> bytes:
    """Encode as the server would after a pivot: one row per time, a column per field."""
    times: dict[Any, dict[str, Any]] = defaultdict(dict)
    for table in tables:
        for row in table.rows:
            times[row["_time"]][row["_field"]] = row["_value"]
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
    server: Replay

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        language, method, case = arguments.measure
        methods = {"InfluxQL": INFLUXQL, "Flux": FLUX}[language]
        server = json.loads(os.environ["BENCHMARK_SERVER"])
        print(json.dumps(measure(methods[method], server, CASES[case])))
        return
    print(__doc__.split("\n\n", 2)[2])
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {arguments.rounds} rounds\n")
    print("| history | language | method | s | ratio | peak MB | rows |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder)) as server:
        for case in CASES:
            compare("InfluxQL", INFLUXQL, {**server, "database": case}, arguments.rounds, case)
    for name, case in CASES.items():
        with replay(case) as server:
            for method in FLUX:
                measured_apart("Flux", method, name, server)  # prepares the answers
            compare("Flux", FLUX, server, arguments.rounds, name)


if __name__ == "__main__":
    main()
