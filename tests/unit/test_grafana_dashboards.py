"""The dashboards that ship ask for what is written, under the names that it is written under."""

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.meters.influx.config import InfluxForecasts
from energy_forecasting.meters.influx.forecast_points import forecast_lines
from energy_forecasting.meters.influx.schema import InfluxFields, InfluxSchema, InfluxTags
from tests.grafana_dashboards import FOLDER, Dashboard, filled_in, read_dashboard, variables_in

NAMES = ("energy-forecasts-influxql", "energy-forecasts-flux")
READINGS, FORECASTS = InfluxSchema().measurement, InfluxForecasts().measurement
DATA_SOURCE = {"type": "influxdb", "uid": "${datasource}"}
#: What Grafana puts in the place of, besides the dashboard's own variables.
BUILT_IN = {"timeFilter"}
FLUX_COLUMNS = {"_time", "_field", "_value"}
CHOSEN = {
    "meter_type": "water",
    "meter_id": "dma.5",
    "model_version": "v1",
    "timeFilter": "time > 0",
}


def written() -> tuple[set[str], set[str]]:
    """Return the tags and the fields of a point as it is written."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    forecast = PublishedForecast(
        meter=Meter(meter_type="water", meter_id="dma.5"),
        model_version="v1",
        origin=moment,
        timestamps=np.array(["2026-03-01T00:00:00"], dtype="datetime64[s]"),
        levels=QUANTILE_LEVELS,
        quantiles=np.zeros((1, len(QUANTILE_LEVELS))),
    )
    head, values, _ = next(forecast_lines(FORECASTS, forecast)).split(" ")
    return names_in(head.partition(",")[2]), names_in(values)


def names_in(pairs: str) -> set[str]:
    return {pair.partition("=")[0] for pair in pairs.split(",")}


def known_names(measurement: str) -> set[str]:
    if measurement == FORECASTS:
        tags, fields = written()
        return tags | fields
    named = InfluxTags()
    return {str(named.meter_id), str(named.meter_type), InfluxFields().consumption}


def queries(dashboard: Dashboard) -> list[str]:
    values = {**dashboard.defaults, **CHOSEN}
    texts = [*dashboard.questions.values(), *(each["query"] for _, each in dashboard.targets())]
    return [filled_in(text, values) for text in texts]


@pytest.fixture(params=NAMES)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    return read_dashboard(request.param)


def test_influxql_names_measurements_fields_and_tags_that_are_written() -> None:
    seen = set()
    for query in queries(read_dashboard("energy-forecasts-influxql")):
        (measurement,) = re.findall(r'FROM "([^"]+)"', query)
        assert measurement in {READINGS, FORECASTS}
        named = set(re.findall(r'"([^"]+)"', query)) - {measurement}
        assert named <= known_names(measurement), query
        seen.add(measurement)
    assert seen == {READINGS, FORECASTS}


def test_flux_names_measurements_fields_and_tags_that_are_written() -> None:
    seen = set()
    for query in queries(read_dashboard("energy-forecasts-flux")):
        (measurement,) = re.findall(r'r\._measurement == "([^"]+)"', query)
        assert measurement in {READINGS, FORECASTS}
        fields = set(re.findall(r'r\._field == "([^"]+)"', query))
        tags = set(re.findall(r"r\.([a-z]\w*) ==", query))
        kept = " ".join(re.findall(r'columns?: (\[[^\]]*\]|"\w+")', query))
        columns = set(re.findall(r'"(\w+)"', kept)) - FLUX_COLUMNS
        assert fields | tags | columns <= known_names(measurement), query
        seen.add(measurement)
    assert seen == {READINGS, FORECASTS}


def test_the_eighty_percent_band_lies_between_its_quantiles(dashboard: Dashboard) -> None:
    (panel,) = (
        each for each in dashboard.content["panels"] if each["title"] == "Reading and forecast"
    )
    overrides = {each["matcher"]["options"]: each for each in panel["fieldConfig"]["overrides"]}
    properties = {each["id"]: each["value"] for each in overrides["q90"]["properties"]}
    assert properties["custom.fillBelowTo"] == "q10"
    asked = " ".join(target["query"] for target in panel["targets"])
    assert all(quantile in asked for quantile in ("q10", "q50", "q90"))


def test_each_variable_that_is_used_is_defined(dashboard: Dashboard) -> None:
    known = set(dashboard.variables)
    for text in dashboard.questions.values():
        assert variables_in(text) <= known
    for _, target in dashboard.targets():
        assert variables_in(target["query"]) <= known | BUILT_IN


def test_meter_and_version_can_be_chosen_the_newest_version_first(dashboard: Dashboard) -> None:
    assert list(dashboard.questions) == ["meter_type", "meter_id", "model_version"]
    descending = 2
    assert dashboard.variables["model_version"]["sort"] == descending


def test_every_panel_uses_the_data_source_that_was_chosen(dashboard: Dashboard) -> None:
    for panel in dashboard.content["panels"]:
        assert panel["datasource"] == DATA_SOURCE
        assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"])
    questions = [each for each in dashboard.variables.values() if each["type"] == "query"]
    assert all(each["datasource"] == DATA_SOURCE for each in questions)


def test_the_data_source_chosen_at_first_is_provisioned(dashboard: Dashboard) -> None:
    chosen = dashboard.variables["datasource"]["current"]
    language = dashboard.name.rpartition("-")[2]
    path = FOLDER / "provisioning" / "datasources" / f"energy-{language}.yaml"
    provisioned = path.read_text(encoding="utf-8")
    assert re.search(rf"^    uid: {chosen['value']}$", provisioned, re.MULTILINE)
    assert re.search(rf"- name: {re.escape(chosen['text'])}$", provisioned, re.MULTILINE)


def test_no_credential_stands_in_what_ships() -> None:
    for path in sorted((FOLDER / "provisioning" / "datasources").iterdir()):
        for name, value in re.findall(
            r"^\s*(?:# )?(\w+): (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if name in {"url", "user", "password", "token", "httpHeaderValue1"}:
                assert value.removeprefix("Token ").startswith("$INFLUXDB_"), (path.name, name)


def test_ids_are_unique(dashboard: Dashboard) -> None:
    ids = [panel["id"] for panel in dashboard.content["panels"]]
    assert len(set(ids)) == len(ids)
    uids = {read_dashboard(name).content["uid"] for name in NAMES}
    assert len(uids) == len(NAMES)


def test_panels_do_not_overlap(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.content["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
