"""What the doctor proposes for databases of known programs can be written as it stands."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from energy_forecasting.doctor.finding import Outcome, Step
from energy_forecasting.meters.influx.config import load_influx_config
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.influx_server import InfluxServer
from tests.integration.doctor.conftest import Examine, proposed, told
from tests.integration.doctor.influx_3_double import Influx3Double
from tests.integration.meters.influx_double import InfluxDouble
from tests.integration.meters.real_writers import DAYS, Written, home_assistant, telegraf
from tests.integration.meters.written_series import series_of

START_S = int(time.time()) // 3600 * 3600 - DAYS * 86_400

HOME_ASSISTANT = {
    "electricity/grid_energy_total",
    "electricity/solar_energy_total",
    "electricity/plug_energy_today",
    "gas/gas_meter_total",
    "water/water_meter_total",
}
TELEGRAF = {"electricity/main", "electricity/floor-2"}


@dataclass
class Asked:
    """A database and how to ask it."""

    url: str
    variables: dict[str, str]
    write: Callable[[Written], None]


@pytest.fixture(
    params=[
        pytest.param("1.x", marks=pytest.mark.influxdb),
        "2.x",
        pytest.param("3.x", marks=pytest.mark.influxdb),
    ]
)
def asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """Yield a database of each version: a real 1.x, and doubles of the others."""
    if request.param == "2.x":
        with InfluxDouble() as double:

            def hold(written: Written) -> None:
                double.series.extend(series_of(written.lines))

            yield Asked(double.url, {"INFLUXDB_TOKEN": double.token}, hold)
        assert double.complaints == []
        return
    server: InfluxServer = request.getfixturevalue("influx_server")
    database: str = request.getfixturevalue("influx_database")

    def write(written: Written) -> None:
        server.write(database, "\n".join(written.lines), precision="ns")

    if request.param == "3.x":
        with Influx3Double(server) as double_3:
            variables = {"INFLUXDB_TOKEN": double_3.token, "INFLUXDB_DATABASE": database}
            yield Asked(double_3.url, variables, write)
        return
    who = {
        "INFLUXDB_USERNAME": server.reader.name,
        "INFLUXDB_PASSWORD": server.reader.password,
        "INFLUXDB_DATABASE": database,
    }
    yield Asked(server.url, who, write)


@pytest.mark.parametrize(
    ("program", "found"),
    [
        pytest.param(home_assistant, HOME_ASSISTANT, id="home_assistant"),
        pytest.param(telegraf, TELEGRAF, id="telegraf"),
    ],
)
def test_the_proposal_reads_what_the_program_writes(
    examine: Examine,
    asked: Asked,
    program: Callable[[int], Written],
    found: set[str],
    tmp_path: Path,
) -> None:
    # Given
    asked.write(program(START_S))
    # When nobody says how readings are named
    diagnosis = examine(asked.variables, url=asked.url)
    # Then what is proposed finds the meters, tried by the doctor and by the store
    assert not diagnosis.can_train
    assert "With the configuration below they would" in diagnosis.verdict
    configuration = proposed(diagnosis)
    assert configuration["reading_kind"] == "cumulative"
    assert configuration["temperature"]["where"] in (
        {"entity_id": "outdoor_temperature"},
        {"forecast": "*"},
    )
    assert "with temperature" in told(diagnosis, Step.READINGS, Outcome.GOOD)
    path = tmp_path / "proposed.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    secrets = {key: asked.variables.get(key, "") for key in ("INFLUXDB_TOKEN", "INFLUXDB_PASSWORD")}
    config = load_influx_config(path, secrets)
    assert config is not None
    store = InfluxMeterStore(config)
    assert {str(summary.meter) for summary in store.list_meters()} == found
    store.close()


def test_the_proposal_once_written_trains(
    examine: Examine, asked: Asked, config_path: Path
) -> None:
    asked.write(telegraf(START_S))
    first = examine(asked.variables, url=asked.url)
    config_path.write_text(json.dumps(proposed(first)), encoding="utf-8")
    secrets = {
        key: value for key, value in asked.variables.items() if key.endswith(("TOKEN", "PASSWORD"))
    }
    again = examine(secrets)
    assert again.can_train, again.findings
    assert again.proposal is None
    assert again.meters == {"electricity": 2}


@pytest.mark.influxdb
def test_a_measurement_for_each_meter(
    examine: Examine, influx_server: InfluxServer, influx_database: str
) -> None:
    # Given what openHAB writes
    lines = [
        f"{item},item={item} value={value + hour + hour % 24 / 7} {START_S + hour * 3600}"
        for item, value in (("Grid_Energy", 5.5), ("Gas_Meter_Total", 7), ("Office_Temperature", 9))
        for hour in range(240)
    ]
    influx_server.write(influx_database, "\n".join(lines))
    who = {
        "INFLUXDB_USERNAME": influx_server.reader.name,
        "INFLUXDB_PASSWORD": influx_server.reader.password,
    }
    # When
    diagnosis = examine(who, url=influx_server.url, database=influx_database)
    # Then
    assert "they would" in diagnosis.verdict
    types = proposed(diagnosis)["types"]
    named = {name: list(own.get("meters", {})) for name, own in types.items()}
    assert named == {"electricity": ["Grid_Energy"], "gas": ["Gas_Meter_Total"]}


@pytest.mark.influxdb
class TestVersion3:
    def test_the_form_of_2x_is_told_apart(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        influx_server.write(influx_database, "\n".join(telegraf(START_S).lines), precision="ns")
        with Influx3Double(influx_server) as double:
            diagnosis = examine(
                {"INFLUXDB_TOKEN": double.token},
                url=double.url,
                org="o",
                bucket=influx_database,
            )
        assert "InfluxDB 3.9.1 has no Flux" in told(diagnosis, Step.SERVER, Outcome.BAD)
        assert not diagnosis.can_train
        configuration = proposed(diagnosis)
        assert configuration["database"] == influx_database
        assert not {"org", "bucket"} & configuration.keys()

    def test_databases_that_are_not_told_are_no_obstacle(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        with Influx3Double(influx_server) as double:
            double.tells_databases = False
            diagnosis = examine(
                {"INFLUXDB_TOKEN": double.token}, url=double.url, database=influx_database
            )
        assert "is accepted" in told(diagnosis, Step.CREDENTIALS, Outcome.GOOD)
        assert "may be read" in told(diagnosis, Step.CONTAINER, Outcome.GOOD)

    def test_a_wrong_token(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        with Influx3Double(influx_server) as double:
            diagnosis = examine(
                {"INFLUXDB_TOKEN": "apiv3_wrong"}, url=double.url, database=influx_database
            )
        assert "does not tell its version" in told(diagnosis, Step.SERVER, Outcome.CARE)
        assert "refuses the token" in told(diagnosis, Step.CREDENTIALS, Outcome.BAD)
        assert "apiv3_wrong" not in str(diagnosis)
