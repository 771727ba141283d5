"""What drives a forecast, over HTTP."""

import csv
import io
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.model_card import ForecastMethod
from energy_forecasting.registry.artifact import read_card, write_card
from energy_forecasting.settings import Settings

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

FORECAST = {"meter_id": "bwdf_dma_09", "meter_type": "water"}

#: The days around Christmas 2022, which ended on a Monday in Italy.
CHRISTMAS = {**FORECAST, "start_date": "2022-12-23", "end_date": "2022-12-29", "explain": True}


def test_contributions_add_up_to_each_hour_and_the_summary_tells_the_means(
    api: TestClient,
) -> None:
    body = api.post("/forecast/", json=CHRISTMAS).json()

    for point in body["forecast"]:
        contributions = point["contributions"]
        assert next(iter(contributions)) == "usual_week"
        assert sum(contributions.values()) == pytest.approx(point["consumption"], abs=1e-4)
    start, *groups = body["explanation"]["groups"]
    assert start["group"] == "usual_week"
    sizes = [group["mean_absolute"] for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    for group in groups:
        values = [point["contributions"][group["group"]] for point in body["forecast"]]
        assert group["mean"] == pytest.approx(sum(values) / 168, abs=1e-5)
        assert group["name"]


def test_a_holiday_in_a_real_week_is_told_in_a_sentence(api: TestClient) -> None:
    body = api.post("/forecast/", json=CHRISTMAS).json()

    first, second = body["explanation"]["sentences"][:2]
    assert first.startswith("The forecast averages ")
    assert "m3/h" in first
    assert second.startswith(
        "Sunday 25 December and Monday 26 December are public holidays: this lowers"
    )


def test_without_explain_an_answer_is_as_it_was(api: TestClient) -> None:
    plain = api.post("/forecast/", json=FORECAST).json()
    explained = api.post("/forecast/", json={**FORECAST, "explain": True}).json()

    assert "explanation" not in plain
    assert set(plain["forecast"][0]) == {"timestamp", "consumption", "quantiles"}
    del explained["explanation"]
    for point in explained["forecast"]:
        del point["contributions"]
    assert explained == plain


def test_a_temperature_that_is_sent_is_explained(api: TestClient) -> None:
    day = {**FORECAST, "horizon_hours": 24, "explain": True}
    usual = api.post("/forecast/", json=day).json()
    cold = api.post("/forecast/", json={**day, "temperature": [-15.0] * 24}).json()

    # Then what is expected of the weather is explained, and what was sent differs from it
    expected = [point["contributions"]["temperature"] for point in usual["forecast"]]
    sent = [point["contributions"]["temperature"] for point in cold["forecast"]]
    assert expected != sent
    assert not any("colder" in sentence for sentence in usual["explanation"]["sentences"])


def test_contributions_are_columns_of_the_csv(api: TestClient) -> None:
    wanted = {**FORECAST, "horizon_hours": 5, "quantiles": [0.5], "explain": True}
    answer = api.post("/forecast/?format=csv", json=wanted)

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 5
    for row in rows:
        parts = [float(row[name]) for name in row if name.startswith("contribution_")]
        assert sum(parts) == pytest.approx(float(row["consumption"]), abs=1e-4)
    assert list(rows[0])[:4] == ["timestamp", "consumption", "q0.5", "contribution_usual_week"]


def test_a_span_that_starts_later_explains_the_hours_it_shows(api: TestClient) -> None:
    readings_end = api.get("/meters/water/bwdf_dma_09").json()["last_reading"][:10]
    assert readings_end == "2022-12-31"
    later = {**FORECAST, "start_date": "2023-01-03", "end_date": "2023-01-03", "explain": True}

    body = api.post("/forecast/", json=later).json()

    assert len(body["forecast"]) == 24
    mean = sum(point["consumption"] for point in body["forecast"]) / 24
    parts = sum(group["mean"] for group in body["explanation"]["groups"])
    assert parts == pytest.approx(mean, abs=1e-4)


def test_a_model_that_repeats_last_week_is_explained_by_it(
    settings: Settings, trained_models: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained_models, models)
    path = models / "water" / "bwdf_dma_09.h5"
    card = read_card(path)
    narrow = card.data.model_copy(update={"lowest": 1e6, "highest": 1e6 + 1})
    write_card(path, card.model_copy(update={"data": narrow}))
    own = settings.model_copy(update={"model_store": models})
    with TestClient(create_app(bootstrap.api_services(own))) as api:
        body = api.post("/forecast/", json={**FORECAST, "explain": True}).json()

    assert card.method is ForecastMethod.QUANTILE_NETWORK
    assert body["degraded"] is True
    assert body["explanation"]["sentences"][0] == "The forecast repeats the values of a week ago."
    for point in body["forecast"]:
        assert point["contributions"] == {"last_week": point["consumption"]}


def test_the_card_tells_which_inputs_the_model_leans_on(api: TestClient) -> None:
    card = api.get("/models/water/bwdf_dma_09").json()["champion"]

    importance = card["importance"]
    assert importance["rows"] == 4096
    assert importance["mase"] == pytest.approx(card["skill"]["mase"], rel=0.1)
    groups = {group["group"]: group for group in importance["groups"]}
    assert groups["last_days"]["name"] == "Same hour on the last seven days"
    assert groups["last_days"]["rise_percent"] > 5
    assert "temperature" not in groups
    known = {group["group"] for group in card["importance_known_temperature"]["groups"]}
    assert "temperature" in known
