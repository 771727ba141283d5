"""Many meters with short histories: a training of one takes some hundredths of a second.

Most are young meters, as two days of readings are enough for those; every tenth has the fifteen
weeks from which the network is trained, so that trainers have something to be killed in.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.sqlite import SqliteMeterStore
from tests.influx_server import InfluxServer
from tests.tcp_proxy import TcpProxy

METERS = 40
_TYPE = "electricity"
_DATABASE = "chaos"
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_YOUNG_DAYS = (3, 5, 8, 13, 21, 34, 55)
_GROWN_DAYS = 105
_GROWN_EVERY = 10


def meter_number(number: int) -> Meter:
    """Return one of the fleet."""
    return Meter(meter_type=_TYPE, meter_id=f"chaos-{number:02}")


def fleet() -> list[Meter]:
    """Return every meter."""
    return [meter_number(number) for number in range(METERS)]


def history_of(number: int) -> History:
    """Return a meter's readings: a daily rhythm and chance."""
    days = _GROWN_DAYS if number % _GROWN_EVERY == 0 else _YOUNG_DAYS[number % len(_YOUNG_DAYS)]
    hours = np.arange(24 * days)
    rhythm = 5 + 2 * np.sin(2 * math.pi * hours / 24)
    noise = np.random.default_rng(number).normal(0, 0.3, len(hours))
    first = np.datetime64(_FIRST.replace(tzinfo=None), "s")
    return History(
        timestamps=first + hours * np.timedelta64(3600, "s"),
        consumption=rhythm + noise,
        temperature=np.full(len(hours), np.nan),
    )


def fill_sqlite(path: Path) -> dict[str, str]:
    """Write the fleet into an embedded store; return the settings that name it."""
    store = SqliteMeterStore(path)
    for number, meter in enumerate(fleet()):
        store.write_profile(meter, MeterProfile())
        store.write_readings(meter, iter([history_of(number)]))
    store.close()
    return {"METER_STORE": "sqlite", "SQLITE_PATH": str(path)}


@contextmanager
def influx_behind_proxy(binary: str, folder: Path) -> Iterator[tuple[TcpProxy, dict[str, str]]]:
    """Yield the proxy of an InfluxDB that holds the fleet, and the settings that name it."""
    folder.mkdir(parents=True)
    server = InfluxServer(binary, folder)
    try:
        server.start()
        server.create_database(_DATABASE)
        for number, meter in enumerate(fleet()):
            server.write(_DATABASE, "\n".join(_lines(meter, history_of(number))))
        with TcpProxy(server.port) as proxy:
            yield (
                proxy,
                {
                    "METER_STORE": "influxdb",
                    "INFLUXDB_CONFIG": str(folder / "no_such_file.json"),
                    "INFLUXDB_URL": proxy.url,
                    "INFLUXDB_USERNAME": server.member.name,
                    "INFLUXDB_PASSWORD": server.member.password,
                    "INFLUXDB_DATABASE": _DATABASE,
                },
            )
    finally:
        server.close()


def _lines(meter: Meter, history: History) -> list[str]:
    tags = f"meter_id={meter.meter_id},meter_type={meter.meter_type}"
    seconds = history.timestamps.astype("int64").tolist()
    return [
        f"energy_consumption,{tags} consumption={value:.4f} {second}"
        for second, value in zip(seconds, history.consumption, strict=True)
    ]
