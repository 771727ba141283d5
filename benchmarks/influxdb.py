"""How fast a history comes out of InfluxDB, and how much memory it takes on the way.

``python -m benchmarks.influxdb [--rounds N]`` from the project folder, in an environment made from
``requirements-bench.txt``, with ``influxd`` (1.6.7) installed.

Protocol: one meter with consumption and temperature; the system reads as a training does. Each
measurement in a fresh process, everything imported before; rounds alternate between the methods;
medians, and peak memory above what was held before. *InfluxQL* is a real influxd 1.6.7 on loopback,
authentication on; the opponent reads everything into a data frame, as tutorials do. *Flux* is a
replay: a local server sends prepared answers of InfluxDB 2.x, gzipped, so that only the client's
work counts; the opponent is ``query_data_frame`` of influxdb-client, for
plain rows and for rows pivoted by the server. Caveats: one machine, loopback, random values; a
real 2.x server adds its own time, most of all for the pivot.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.influx_cases import CASES, LAST, METER, Case
from benchmarks.influx_servers import real_server, replay
from benchmarks.memory import forget_peak, memory_mb
from energy_forecasting.domain.resolutions import FINE_READINGS
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore

PRODUCT = "energy_forecasting"


def read_by_product(server: dict[str, Any], case: Case) -> int:
    """Read as a training does."""
    store = InfluxMeterStore(InfluxConfig.model_validate({**server, "timeout_s": 300}))
    history = store.read_history(METER, start=case.start, whole_hours_before=LAST - FINE_READINGS)
    store.close()
    return len(history)


#: Language, then method; the others stand in ``opponents/influx_frames.py``.
METHODS = {
    "InfluxQL": {PRODUCT: "", "everything into a frame": "everything_in_json"},
    "Flux": {
        PRODUCT: "",
        "query_data_frame": "data_frame",
        "query_data_frame, pivoted": "pivoted_frame",
    },
}


def measure(language: str, method: str, case: Case) -> dict[str, float]:
    """Read once; seconds and megabytes of peak memory above what was held before."""
    warnings.simplefilter("ignore")  # influxdb-client advises against rows without pivot
    # Imported for the product too, so that all begin alike.
    frames = importlib.import_module("benchmarks.opponents.influx_frames")
    server = json.loads(os.environ["BENCHMARK_SERVER"])
    read = read_by_product if method == PRODUCT else getattr(frames, METHODS[language][method])
    forget_peak()
    before = memory_mb("VmRSS")
    started = time.perf_counter()
    rows = read(server, case)
    seconds = time.perf_counter() - started
    grown = memory_mb("VmHWM") - before
    return {"seconds": seconds, "megabytes": grown, "rows": rows}


def measured_apart(
    language: str, method: str, case: str, server: dict[str, Any]
) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.influxdb", "--measure", language, method, case]
    environment = {**os.environ, "BENCHMARK_SERVER": json.dumps(server)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def compare(language: str, case: str, server: dict[str, Any], rounds: int) -> None:
    """Measure the methods in turns and print medians and ratios."""
    taken: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(rounds):
        for method in METHODS[language]:
            taken[method].append(measured_apart(language, method, case, server))

    def median(method: str, figure: str) -> float:
        return statistics.median(each[figure] for each in taken[method])

    for method in METHODS[language]:
        seconds, megabytes = median(method, "seconds"), median(method, "megabytes")
        print(
            f"| {CASES[case].title} | {language} | {method} | {seconds:.3f} | "
            f"{seconds / median(PRODUCT, 'seconds'):.1f} | {megabytes:.0f} | "
            f"{median(method, 'rows'):,.0f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        language, method, case = arguments.measure
        print(json.dumps(measure(language, method, CASES[case])))
        return
    print(__doc__.split("\n\n", 2)[2])
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {arguments.rounds} rounds")
    print("\n| history | language | method | s | ratio | peak MB | rows |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, real_server(Path(folder)) as server:
        for case in CASES:
            compare("InfluxQL", case, {**server, "database": case}, arguments.rounds)
    for name, case in CASES.items():
        with replay(case) as server:
            for method in METHODS["Flux"]:
                measured_apart("Flux", method, name, server)  # prepares the answers
            compare("Flux", name, server, arguments.rounds)


if __name__ == "__main__":
    main()
