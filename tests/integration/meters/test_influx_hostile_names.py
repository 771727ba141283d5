"""Whatever a configuration calls things, a name stays a name: refused, or read back as written.

In InfluxQL the store asks a real server as its administrator, who may drop everything, so that an
injected statement would do its harm; in Flux it asks the double, whose grammar knows no more than
the store's own calls.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from energy_forecasting.domain.errors import EnergyForecastingError, InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import METER_ID_PATTERN, METER_TYPE_PATTERN, Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.line_protocol import line
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.influx_server import InfluxServer
from tests.integration.meters.conftest import influx_config, influxql_config
from tests.integration.meters.flux_tables import Series
from tests.integration.meters.hostile_text import names, texts, writable_names
from tests.integration.meters.influx_double import InfluxDouble, nanoseconds

# One server serves all examples; each takes away what it wrote.
one_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
#: For tests of one name or two, or with a database for each example.
fewer = settings(one_server, max_examples=one_server.max_examples // 3)

METER = Meter(meter_type="water", meter_id="dma.5")
SECRET = Meter(meter_type="water", meter_id="secret")
GAS = Meter(meter_type="gas", meter_id="main")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
CANARY = "canary v=1 1709251200"


class Lab(Protocol):
    """A database of an example's own, and how to see from outside that nothing else was touched."""

    outcomes: Counter[str]

    def config(self, **changes: object) -> InfluxConfig: ...

    def fresh(self) -> None: ...

    def write(self, lines: str) -> None: ...

    def lists(self, tags: list[str]) -> bool: ...

    def is_unharmed(self) -> bool: ...


class InfluxqlLab:
    """Databases of the real server, asked as the administrator."""

    def __init__(self, server: InfluxServer) -> None:
        self.outcomes: Counter[str] = Counter()
        self._server = server
        self._database = "hostile"

    def config(self, **changes: object) -> InfluxConfig:
        admin = self._server.admin
        own = {
            "username": admin.name,
            "password": admin.password,
            "temperature_forecast": None,
            **changes,
        }
        database = str(own.pop("database", self._database))
        return influxql_config(self._server, database, **own)

    def fresh(self) -> None:
        self._server.drop_database(self._database)
        self._server.create_database(self._database)
        self.write(CANARY)

    def write(self, lines: str) -> None:
        self._server.write(self._database, lines)

    def lists(self, tags: list[str]) -> bool:
        """Tell whether the server can list: 1.6 loses some of the groups of a GROUP BY when names
        of tags have another order with their spaces, commas and equals signs escaped than without.
        """
        return sorted(tags) == sorted(tags, key=lambda tag: re.sub("([ ,=])", r"\\\1", tag))

    def is_unharmed(self) -> bool:
        (canary,) = self._server.ask('SELECT "v" FROM "canary"', database=self._database)
        (databases,) = self._server.ask("SHOW DATABASES")
        (users,) = self._server.ask("SHOW USERS")
        return (
            [each["values"] for each in canary.get("series", [])] == [[[1709251200, 1]]]
            and [self._database] in databases["series"][0]["values"]
            and len(users["series"][0]["values"]) == 4
        )


class FluxLab:
    """The double's storage."""

    def __init__(self, double: InfluxDouble) -> None:
        self.outcomes: Counter[str] = Counter()
        self._double = double
        self._canary = Series(
            {"_measurement": "canary", "_field": "v"}, "double", [(nanoseconds(MIDNIGHT), 1.0)]
        )

    def config(self, **changes: object) -> InfluxConfig:
        return influx_config(self._double, **changes)

    def fresh(self) -> None:
        self._double.series[:] = [deepcopy(self._canary)]
        self._double.queries.clear()
        self._double.writes.clear()

    def write(self, lines: str) -> None:
        raise NotImplementedError

    def lists(self, tags: list[str]) -> bool:
        return bool(tags)

    def is_unharmed(self) -> bool:
        return self._double.series[0] == self._canary and not self._double.complaints


@pytest.fixture(params=[pytest.param("influxql", marks=pytest.mark.influxdb), "flux"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    made: Lab
    if request.param == "influxql":
        server: InfluxServer = request.getfixturevalue("influx_server")
        made = InfluxqlLab(server)
    else:
        made = FluxLab(request.getfixturevalue("double"))
    made.fresh()
    yield made
    # A test that only ever met refusals has tested nothing.
    assert made.outcomes["read back"] > made.outcomes.total() / 4, made.outcomes


@contextmanager
def store_of(config: InfluxConfig) -> Iterator[InfluxMeterStore]:
    store = InfluxMeterStore(config)
    try:
        yield store
    finally:
        store.close()


def readings(first: float) -> History:
    return History(
        timestamps=np.array(["2024-03-01T00", "2024-03-01T01"], dtype="datetime64[s]"),
        consumption=np.array([first, first + 0.5]),
        temperature=np.array([-first, np.nan]),
    )


def same(found: History, expected: History) -> bool:
    return (
        found.timestamps.tolist() == expected.timestamps.tolist()
        and np.array_equal(found.consumption, expected.consumption)
        and np.array_equal(found.temperature, expected.temperature, equal_nan=True)
    )


@st.composite
def layouts(draw: st.DrawFn, names: st.SearchStrategy[str]) -> dict[str, Any]:
    """Draw a layout in which every name is hostile."""
    return {
        "measurement": draw(names),
        "tags": {"meter_id": draw(names), "meter_type": draw(names)},
        "fields": {"consumption": draw(names), "temperature": draw(names)},
        "where": {draw(names): draw(names)},
        "temperature_forecast": {
            "measurement": draw(names),
            "field": draw(names),
            "where": {draw(names): draw(names)},
        },
        "types": {"gas": {"meters": {GAS.meter_id: draw(names)}}},
    }


@one_server
@given(layout=layouts(writable_names) | layouts(names), elsewhere=writable_names)
def test_what_is_written_under_hostile_names_is_read_back_and_nothing_else(
    lab: Lab, layout: dict[str, Any], elsewhere: str
) -> None:
    # Given two configurations that differ in the value of one tag
    (tag, value), *_ = layout["where"].items()
    assume(value != elsewhere)
    assume(layout["temperature_forecast"]["measurement"] != layout["measurement"])
    try:
        config = lab.config(**layout)
        other = lab.config(**{**layout, "where": {tag: elsewhere}})
    except ValidationError:
        lab.outcomes["refused by the configuration"] += 1
        return
    lab.fresh()
    with store_of(config) as store, store_of(other) as beside:
        # When
        try:
            beside.write_readings(METER, iter([readings(9.0)]))
            for meter, first in ((METER, 1.0), (SECRET, 2.0), (GAS, 3.0)):
                store.write_readings(meter, iter([readings(first)]))
            store.write_temperature_forecast(METER, forecast(4.0))
        except InvalidRequest as refusal:
            lab.outcomes["refused by the line protocol"] += 1
            event(refusal.message[:40])
            for meter in (METER, GAS):
                assert_harmless(store, meter)
        else:
            # Then
            lab.outcomes["read back"] += 1
            for meter, first in ((METER, 1.0), (SECRET, 2.0), (GAS, 3.0)):
                assert same(store.read_history(meter), readings(first))
                assert store.describe(meter).readings == 2
            assert same(beside.read_history(METER), readings(9.0))
            if lab.lists([*layout["tags"].values(), tag]):
                assert [each.meter for each in store.list_meters()] == [GAS, METER, SECRET]
                assert [each.meter for each in beside.list_meters()] == [METER]
            found = store.read_temperature_forecast(METER, start=MIDNIGHT, end=NOON)
            assert found.degrees.tolist() == [4.0]
            store.check()
    assert lab.is_unharmed()


def forecast(degrees: float) -> TemperatureForecast:
    return TemperatureForecast(
        timestamps=np.array(["2024-03-01T02"], dtype="datetime64[s]"),
        degrees=np.array([degrees]),
    )


def assert_harmless(store: InfluxMeterStore, meter: Meter) -> None:
    """Ask in every way; nothing worse than no data may come of it."""
    for call in (
        store.check,
        store.list_meters,
        lambda: store.describe(meter),
        lambda: store.read_history(meter, whole_hours_before=NOON),
        lambda: store.read_temperature_forecast(meter, start=MIDNIGHT, end=NOON),
    ):
        with suppress(NoDataFound):
            call()


@st.composite
def keys(draw: st.DrawFn) -> dict[str, Any]:
    """Draw any text at one or two places of a configuration."""
    places = draw(
        st.lists(
            st.sampled_from(
                [
                    lambda text: {"measurement": text},
                    lambda text: {"tags": {"meter_id": text}},
                    lambda text: {"tags": {"meter_type": text}},
                    lambda text: {"fields": {"consumption": text}},
                    lambda text: {"where": {text: "x"}},
                    lambda text: {"where": {"x": text}},
                    lambda text: {"types": {"water": {"meters": {"dma.5": text}}}},
                    lambda text: {"types": {"water": {"meters": {text: "a"}}}},
                    lambda text: {"types": {text: {}}},
                    lambda text: {"types": {"water": {"meters": {"dma.5": {"tags": {"t": text}}}}}},
                    lambda text: {"temperature": {"measurement": text}},
                    lambda text: {"unit": text},
                    lambda text: {"timezone": text},
                    lambda text: {"country": text},
                ]
            ),
            min_size=1,
            max_size=2,
        )
    )
    return {key: value for place in places for key, value in place(draw(texts)).items()}


@one_server
@given(changes=keys())
def test_any_text_in_a_configuration_is_refused_or_harmless(
    lab: Lab, changes: dict[str, Any]
) -> None:
    try:
        config = lab.config(**changes)
    except ValidationError:
        lab.outcomes["refused"] += 1
    else:
        lab.outcomes["read back"] += 1
        with store_of(config) as store:
            assert_harmless(store, METER)
    assert lab.is_unharmed()


@one_server
@given(meter_id=texts, meter_type=texts | st.just("water"))
def test_a_meter_is_a_valid_name_or_refused(lab: Lab, meter_id: str, meter_type: str) -> None:
    lab.outcomes["read back"] += 1
    try:
        meter = Meter(meter_type=meter_type, meter_id=meter_id)
    except InvalidRequest as refusal:
        told = refusal.message
    else:
        told = ""
        assert re.fullmatch(METER_ID_PATTERN.replace("$", r"\Z"), meter.meter_id)
        assert re.fullmatch(METER_TYPE_PATTERN.replace("$", r"\Z"), meter.meter_type)
        with store_of(lab.config()) as store:
            assert_harmless(store, meter)
    assert told.isprintable()
    assert len(told) < 700
    assert lab.is_unharmed()


@pytest.mark.influxdb
@fewer
@given(ids=st.lists(texts, min_size=1, max_size=5), kind=texts | st.just("water"))
def test_ids_that_another_program_wrote_are_listed_only_when_they_are_valid(
    influx_server: InfluxServer, ids: list[str], kind: str
) -> None:
    # Given
    lab = InfluxqlLab(influx_server)
    lab.fresh()
    written = []
    for meter_id in ids:
        with suppress(InvalidRequest):
            tags = {"meter_id": meter_id, "meter_type": kind}
            lab.write(line("energy_consumption", tags, {"consumption": 1.0}, 1_709_251_200))
            written.append(meter_id)
    # When
    with store_of(lab.config()) as store:
        listed = [summary.meter for summary in store.list_meters()]
        # Then
        assert {meter.meter_id for meter in listed} <= set(written)
        for meter in listed:
            assert store.describe(meter).readings == 1
    assert lab.is_unharmed()


@pytest.mark.influxdb
@fewer
@given(database=names, policy=names)
def test_a_database_and_a_policy_of_any_name_are_found_or_told_to_be_missing(
    influx_server: InfluxServer, database: str, policy: str
) -> None:
    # Given, where the server takes the names, quoted by rules written down a second time
    lab = InfluxqlLab(influx_server)
    lab.fresh()
    quoted = ['"' + re.sub(r'(["\\])', r"\\\1", name) + '"' for name in (database, policy)]
    made = False
    with suppress(AssertionError):
        influx_server.ask(f"CREATE DATABASE {quoted[0]} WITH NAME {quoted[1]}")
        made = True
    try:
        config = lab.config(database=database, retention_policy=policy)
        with store_of(config) as store:
            if made:
                # When, Then
                store.write_readings(METER, iter([readings(1.0)]))
                assert same(store.read_history(METER), readings(1.0))
            else:
                with pytest.raises(InvalidRequest, match="does not have"):
                    store.read_history(METER)
    finally:
        if made:
            influx_server.ask(f"DROP DATABASE {quoted[0]}")
    assert lab.is_unharmed()


@fewer
@given(bucket=names, org=names)
def test_a_bucket_and_an_organization_may_have_any_name(
    double: InfluxDouble, bucket: str, org: str
) -> None:
    # Given
    lab = FluxLab(double)
    lab.fresh()
    double.bucket, double.org = bucket, org
    # When
    with store_of(lab.config()) as store:
        store.write_readings(METER, iter([readings(1.0)]))
        # Then
        assert same(store.read_history(METER), readings(1.0))
    with (
        store_of(lab.config(bucket=f"{bucket[:200]}x")) as store,
        pytest.raises(EnergyForecastingError, match="has no bucket"),
    ):
        store.read_history(METER)
    assert lab.is_unharmed()
