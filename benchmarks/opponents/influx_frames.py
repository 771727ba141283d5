"""How tutorials read InfluxDB: everything, into a pandas data frame."""

from datetime import timedelta
from typing import Any

import pandas as pd
import urllib3
from influxdb_client import InfluxDBClient

from benchmarks.influx_cases import LAST, METER, Case
from benchmarks.influx_servers import PIVOT


def everything_in_json(server: dict[str, Any], _case: Case) -> int:
    """Read all rows and columns in one JSON answer and make a data frame of them."""
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


def data_frame(server: dict[str, Any], case: Case, pivot: str = "") -> int:
    """Read with influxdb-client's ``query_data_frame`` and join the fields."""
    with InfluxDBClient(
        url=server["url"],
        token=server["token"],
        org=server["org"],
        enable_gzip=True,
        timeout=600_000,
    ) as client:
        frames = client.query_api().query_data_frame(_everything_in_flux(server, case) + pivot)
    frame = pd.concat(frames) if isinstance(frames, list) else frames
    if pivot:
        return len(frame.set_index("_time"))
    return len(frame.set_index(["_time", "_field"])["_value"].unstack())  # noqa: PD010 - no mean


def _everything_in_flux(server: dict[str, Any], case: Case) -> str:
    """Write the query as tutorials do."""
    return (
        f'from(bucket: "{server["bucket"]}")\n'
        f"  |> range(start: {case.start:%Y-%m-%dT%H:%M:%SZ}, "
        f"stop: {LAST + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ})\n"
        '  |> filter(fn: (r) => r["_measurement"] == "energy_consumption" '
        f'and r["meter_id"] == "{METER.meter_id}")'
    )


def pivoted_frame(server: dict[str, Any], case: Case) -> int:
    """Read a frame that the server pivoted."""
    return data_frame(server, case, PIVOT)
