"""What the doctor sees in a database that it can read, with a layout that is given."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.doctor.finding import Diagnosis, Outcome, Step
from tests.influx_server import InfluxServer
from tests.integration.doctor.conftest import Examine, proposed, told

NOW_S = int(time.time()) // 3600 * 3600
SHORT_DAYS = 10

Look = Callable[..., Diagnosis]


@pytest.fixture
def look(
    examine: Examine, influx_server: InfluxServer, influx_database: str, config_path: Path
) -> Look:
    """Return a look at what lines of line protocol leave in a database, by a configuration."""

    def look(
        lines: str, layout: Mapping[str, object] | None = None, *, precision: str = "s"
    ) -> Diagnosis:
        if lines:
            influx_server.write(influx_database, lines, precision=precision)
        reader = influx_server.reader
        config_path.write_text(
            json.dumps(
                {
                    "url": influx_server.url,
                    "username": reader.name,
                    "password": reader.password,
                    "database": influx_database,
                    **(layout or {}),
                }
            )
        )
        return examine()

    return look


def hourly(
    head: str,
    *,
    days: int = SHORT_DAYS,
    field: str = "consumption",
    end_s: int = NOW_S,
    **more: str,
) -> str:
    """Return readings of every hour of the last days, up to an hour ago."""
    generator = np.random.default_rng(5)
    hours = np.arange(days * 24)
    values = 3 + np.sin(hours / 24 * 2 * np.pi) + generator.uniform(0, 0.5, len(hours))
    others = "".join(f",{name}={value}" for name, value in more.items())
    first = end_s - days * 24 * 3600
    return "\n".join(
        f"{head} {field}={value:.3f}{others} {first + hour * 3600}"
        for hour, value in zip(hours.tolist(), values.tolist(), strict=True)
    )


METER = "energy_consumption,meter_id=hall,meter_type=electricity"

pytestmark = pytest.mark.influxdb


def test_the_default_layout_trains(look: Look) -> None:
    diagnosis = look(
        hourly(METER, temperature="12.5") + "\n" + hourly(METER.replace("hall", "roof"))
    )
    assert diagnosis.can_train
    assert diagnosis.proposal is None
    assert diagnosis.meters == {"electricity": 2}
    assert diagnosis.store == "influxdb-influxql"
    assert str(diagnosis.version).startswith("1.")
    readings = told(diagnosis, Step.READINGS, Outcome.GOOD)
    assert "electricity/hall: 240 readings from" in readings
    assert "every 60 minutes, with temperature; the newest is" in readings
    assert "every 60 minutes, without temperature; the newest is" in readings
    assert "electricity/roof can be trained" in readings
    assert "2 of 2 meters" in diagnosis.verdict


def test_a_measurement_under_another_name_is_named(look: Look) -> None:
    lines = hourly("energy,meter_id=hall,meter_type=gas") + "\n" + "cpu,host=a idle=3 1"
    diagnosis = look(lines, {"measurement": "enrgy"})
    assert not diagnosis.can_train
    bad = told(diagnosis, Step.LAYOUT, Outcome.BAD)
    assert 'has no measurement "enrgy"' in bad
    assert bad.index('"energy"') < bad.index('"cpu"')
    assert proposed(diagnosis)["measurement"] == "energy"


def test_a_tag_under_another_name_is_named(look: Look) -> None:
    diagnosis = look(hourly("energy_consumption,meter=hall,meter_type=gas"))
    assert 'has no tag "meter_id" (readings of all meters). Its tags are "meter"' in told(
        diagnosis, Step.LAYOUT, Outcome.BAD
    )
    assert proposed(diagnosis)["tags"] == {
        "meter_id": "meter",
        "meter_type": "meter_type",
    }


def test_a_field_under_another_name_is_named(look: Look) -> None:
    diagnosis = look(hourly(METER, field="kwh"))
    assert 'has no field "consumption"' in told(diagnosis, Step.LAYOUT, Outcome.BAD)
    assert 'no field "temperature"' in told(diagnosis, Step.TEMPERATURE, Outcome.CARE)
    assert proposed(diagnosis)["fields"]["consumption"] == "kwh"
    assert "With the configuration below they would" in diagnosis.verdict


def test_what_stands_in_a_field_cannot_be_a_tag(look: Look) -> None:
    diagnosis = look(
        hourly("energy_consumption,meter_type=gas", meter_id='"hall"'),
    )
    assert '"meter_id" is a field' in told(diagnosis, Step.LAYOUT, Outcome.BAD)


def test_a_value_that_no_series_has_is_named(look: Look) -> None:
    diagnosis = look(hourly(METER + ",site=north"), {"where": {"site": "south"}})
    bad = told(diagnosis, Step.LAYOUT, Outcome.BAD)
    assert 'No series of "energy_consumption" has site = "south"' in bad
    assert '"north"' in bad


def test_a_field_of_text_is_refused(look: Look) -> None:
    lines = "\n".join(f'{METER} consumption="{hour}" {NOW_S - hour * 3600}' for hour in range(72))
    diagnosis = look(lines)
    assert 'Field "consumption" of "energy_consumption" holds text' in told(
        diagnosis, Step.LAYOUT, Outcome.BAD
    )


def test_a_register_that_is_not_declared_as_one(look: Look) -> None:
    # Given
    lines = "\n".join(
        f"{METER} consumption={1000 + hour * 1.5 + hour % 24 / 24} {NOW_S - (240 - hour) * 3600}"
        for hour in range(240)
    )
    # When, Then
    diagnosis = look(lines, {"timezone": "Europe/Rome"})
    assert not diagnosis.can_train
    bad = told(diagnosis, Step.READINGS, Outcome.BAD)
    assert "they are those of a register" in bad
    assert 'reading_kind as "cumulative"' in bad
    configuration = proposed(diagnosis)
    assert configuration["reading_kind"] == "cumulative"
    assert configuration["timezone"] == "Europe/Rome"
    assert "With the configuration below they would" in diagnosis.verdict


def test_amounts_that_are_declared_a_register(look: Look) -> None:
    diagnosis = look(hourly(METER), {"reading_kind": "cumulative"})
    assert not diagnosis.can_train
    assert "fall as registers never do" in told(diagnosis, Step.READINGS, Outcome.BAD)
    assert proposed(diagnosis)["reading_kind"] == "interval"


def test_types_that_differ_are_told_apart(look: Look) -> None:
    register = "\n".join(
        f"energy_consumption,meter_id=g,meter_type=gas consumption={5 + hour} "
        f"{NOW_S - (240 - hour) * 3600}"
        for hour in range(240)
    )
    diagnosis = look(
        hourly(METER) + "\n" + register,
        {"types": {"electricity": {"reading_kind": "cumulative"}, "gas": {}}},
    )
    assert not diagnosis.can_train
    kinds = {name: own["reading_kind"] for name, own in proposed(diagnosis)["types"].items()}
    assert kinds == {"electricity": "interval", "gas": "cumulative"}


def test_one_type_that_is_declared_wrong_is_corrected_while_the_others_train(look: Look) -> None:
    register = "\n".join(
        f"energy_consumption,meter_id=g,meter_type=gas consumption={5 + hour + hour % 24 / 24} "
        f"{NOW_S - (240 - hour) * 3600}"
        for hour in range(240)
    )
    diagnosis = look(hourly(METER) + "\n" + register)
    assert diagnosis.can_train
    assert "1 of 2 meters" in diagnosis.verdict
    assert "corrects" in diagnosis.verdict
    assert proposed(diagnosis)["types"] == {"gas": {"reading_kind": "cumulative"}}


def test_a_rate_stays_a_rate_even_if_it_is_too_short_to_train(look: Look) -> None:
    lines = hourly("mains,meter=a", field="power_w", days=1)
    assert proposed(look(lines))["reading_kind"] == "power"


def test_a_declared_resolution_that_is_not_found(look: Look) -> None:
    diagnosis = look(hourly(METER), {"resolution": "PT15M"})
    assert not diagnosis.can_train
    assert "declared to be read every 15 minutes" in told(diagnosis, Step.READINGS, Outcome.BAD)


def test_too_short_a_history(look: Look) -> None:
    diagnosis = look(hourly(METER, days=1))
    assert not diagnosis.can_train
    assert "at least 2 days are needed" in told(diagnosis, Step.READINGS, Outcome.BAD)


def test_ids_and_types_that_cannot_be_used_are_named_with_a_way_out(look: Look) -> None:
    head = "energy_consumption,meter_id={},meter_type={}"
    lines = [
        hourly(head.format("hall", "electricity")),
        hourly(head.format("ns\\=3;s\\=Hall\\ 2", "gas")),
        hourly(head.format("x", "Strom")),
        hourly(head.format("y", "steam")),
    ]
    diagnosis = look("\n".join(lines))
    assert diagnosis.can_train
    care = told(diagnosis, Step.METERS, Outcome.CARE)
    assert '1 id cannot be used: "ns=3;s=Hall 2"' in care
    assert '"meters": {"ns-3-s-Hall-2": "ns=3;s=Hall 2", "hall": "hall"}' in care
    assert '1 meter type cannot be used: "Strom"' in care
    assert 'does not take the meter type "steam"' in care
    assert 'METER_TYPES=["electricity", "water", "gas", "heat", "steam"]' in care


def test_a_meter_that_is_named_but_has_no_reading(look: Look) -> None:
    meters = {"hall": "hall", "roof": "no-such-id"}
    layout = {"types": {"electricity": {"meters": meters}}, "tags": {"meter_type": None}}
    diagnosis = look(hourly(METER), layout)
    assert diagnosis.can_train
    assert 'no reading: "electricity/roof"' in told(diagnosis, Step.METERS, Outcome.CARE)


def test_what_readings_cannot_tell_is_asked_for(look: Look) -> None:
    diagnosis = look(hourly(METER), {"timezone": "Europe/Rome"})
    assert "Country is not given" in told(diagnosis, Step.LAYOUT, Outcome.CARE)
    complete = look("", {"types": {"electricity": {"timezone": "Asia/Tokyo", "country": "JP"}}})
    assert told(complete, Step.LAYOUT, Outcome.CARE) == ""


@pytest.mark.parametrize(
    ("end_s", "said"),
    [
        (NOW_S - 30 * 86_400, "nothing was written for 30 days"),
        (NOW_S + 5 * 3600, "lies ahead"),
    ],
)
def test_readings_of_long_ago_and_of_the_future(look: Look, end_s: int, said: str) -> None:
    diagnosis = look(hourly(METER, end_s=end_s))
    assert diagnosis.can_train
    assert said in told(diagnosis, Step.READINGS, Outcome.CARE)


def test_seconds_that_were_taken_for_nanoseconds(look: Look) -> None:
    diagnosis = look(hourly(METER), precision="u")
    assert "readings lie in 1970" in told(diagnosis, Step.READINGS, Outcome.BAD)


def test_degrees_fahrenheit(look: Look) -> None:
    diagnosis = look(hourly(METER, temperature="61.5"))
    assert "Fahrenheit" in told(diagnosis, Step.TEMPERATURE, Outcome.CARE)


def test_temperatures_that_are_forecast(look: Look) -> None:
    ahead = "\n".join(f"weather degrees=7 {NOW_S + hour * 3600}" for hour in range(48))
    layout = {"temperature_forecast": {"measurement": "weather", "field": "degrees"}}
    diagnosis = look(hourly(METER) + "\n" + ahead, layout)
    good = told(diagnosis, Step.TEMPERATURE, Outcome.GOOD)
    assert 'Forecast temperatures: measurement "weather" has the field "degrees"' in good
    assert "temperatures are forecast until" in good


def test_readings_that_are_deleted_soon(
    look: Look, influx_server: InfluxServer, influx_database: str
) -> None:
    influx_server.ask(
        f'ALTER RETENTION POLICY "autogen" ON "{influx_database}" DURATION 30d SHARD DURATION 1d'
    )
    diagnosis = look(hourly(METER))
    assert "deleted after 30 days" in told(diagnosis, Step.CONTAINER, Outcome.CARE)


def test_readings_in_another_retention_policy(
    look: Look, influx_server: InfluxServer, influx_database: str
) -> None:
    # Given
    policy = f'CREATE RETENTION POLICY "years" ON "{influx_database}" DURATION INF REPLICATION 1'
    influx_server.ask(policy)
    influx_server.write(influx_database, hourly(METER), retention_policy="years")
    # When, Then
    lost = look("", {"measurement": "energy_consumption"})
    assert '"retention_policy": "years"' in told(lost, Step.METERS, Outcome.CARE)
    assert proposed(lost)["retention_policy"] == "years"
    found = look("", {"retention_policy": "years"})
    assert found.can_train
    unknown = look("", {"retention_policy": "month"})
    assert 'no retention policy "month"' in told(unknown, Step.CONTAINER, Outcome.BAD)


def test_more_than_a_thousand_ids_are_not_all_looked_at(look: Look) -> None:
    many = "\n".join(
        f"energy_consumption,meter_id=m{number:05},meter_type=gas consumption=1 {NOW_S}"
        for number in range(1_500)
    )
    diagnosis = look(hourly(METER.replace("hall", "a-first")) + "\n" + many)
    assert "first 1,000 were looked at" in told(diagnosis, Step.METERS, Outcome.CARE)
    assert diagnosis.can_train


def test_named_meters_are_found_among_any_number(look: Look) -> None:
    many = "\n".join(
        f"energy_consumption,meter_id=a{number:05},meter_type=gas consumption=1 {NOW_S}"
        for number in range(1_500)
    )
    layout = {
        "tags": {"meter_type": None},
        "types": {"electricity": {"meters": ["hall"]}},
    }
    diagnosis = look(hourly(METER) + "\n" + many, layout)
    assert diagnosis.meters == {"electricity": 1}
    assert diagnosis.can_train


def test_hostile_names_reach_nobody_as_they_are(look: Look) -> None:
    # Given names that would end a literal, colour a terminal, or turn the writing around
    hostile = ['e"\\ OR\\ 1\\=1', "e\x1b[31mred", "e\u202eenergy", "e'kWh", "e\\ [bold]x[/bold]"]
    lines = [f"{name},id\x1b]0;x\x07=1\x1b[2J value=3 {NOW_S}" for name in hostile]
    lines.append(hourly("energy\x1b[31m,id\x1b[2J=\x1b[31m", field="kwh\x1b[31m"))
    # When
    diagnosis = look("\n".join(lines), {"measurement": "e"})
    # Then nothing is acted on (``examine`` sees to it that all of it is printable)
    assert not diagnosis.can_train
    assert "\\x1b[31mred" in told(diagnosis, Step.LAYOUT, Outcome.GOOD)
    assert "e\\u202eenergy" in told(diagnosis, Step.LAYOUT, Outcome.GOOD)
