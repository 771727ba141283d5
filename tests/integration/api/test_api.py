"""The HTTP contract, over a real Redis, a real meter store and a really trained model."""

import csv
import io
import itertools
import math
import shutil
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import HOUR, to_datetime64
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import Settings
from tests.integration.api.conftest import WATER

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

TRAINING = {"meter_id": "ucam_b37_elec", "meter_type": "electricity"}
FORECAST = {"meter_id": "bwdf_dma_09", "meter_type": "water"}


def error_of(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's response
    body = answer.json()
    assert set(body) == {"error", "detail"}
    assert body["detail"] == body["error"]["message"]
    return dict(body["error"])


def test_a_training_request_answers_with_a_pending_task(api: TestClient) -> None:
    answer = api.post("/trainmodel/", json=TRAINING)

    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "PENDING"
    assert body["progress"] == 0
    assert body["message"] == "Task queued for processing"
    status = api.get(f"/trainmodel/status/{body['task_id']}").json()
    assert status["meter_id"] == "ucam_b37_elec"
    assert "result" not in status  # absent until known


def test_a_second_request_for_the_meter_returns_the_same_task(api: TestClient) -> None:
    first = api.post("/trainmodel/", json=TRAINING).json()
    second = api.post("/trainmodel", json=TRAINING).json()

    assert second["task_id"] == first["task_id"]
    assert second["deduplicated"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"meter_id": "../../x", "meter_type": "water"}, "meter_id"),
        ({"meter_id": "", "meter_type": "water"}, "meter_id"),
        ({"meter_id": "a" * 10_000, "meter_type": "water"}, "meter_id"),
        ({"meter_id": "a\nb", "meter_type": "water"}, "meter_id"),
        ({"meter_id": 7, "meter_type": "water"}, "meter_id"),
        ({"meter_id": "a"}, "meter_type"),
        ({"meter_id": "a", "meter_type": "sunshine"}, "meter_type"),
        ({**TRAINING, "tuning": {"max_trials": -1}}, "tuning.max_trials"),
        ([], "body"),
    ],
)
def test_a_bad_training_request_names_the_field(api: TestClient, body: object, field: str) -> None:
    answer = api.post("/trainmodel/", json=body)

    error = error_of(answer)
    assert answer.status_code == 422
    assert error["type"] == "INVALID_REQUEST"
    assert error["details"]["field"] == field
    assert len(error["message"]) < 300


def test_a_body_that_is_not_json_is_said_to_be_so(api: TestClient) -> None:
    answer = api.post(
        "/trainmodel/", content='{"meter_id": ', headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert "not valid JSON" in error_of(answer)["message"]


def test_an_unknown_task_or_path_is_404_in_the_one_error_form(api: TestClient) -> None:
    for path in ("/trainmodel/status/nope", "/no/such/path"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert error_of(answer)["type"] == "NOT_FOUND"


def test_a_task_can_be_cancelled_twice_and_listed(api: TestClient) -> None:
    task_id = api.post("/trainmodel/", json=TRAINING).json()["task_id"]

    assert api.delete(f"/trainmodel/{task_id}").json()["status"] == "CANCELLED"
    assert api.delete(f"/trainmodel/{task_id}").status_code == 200
    listed = api.get("/trainmodel/", params={"status": "CANCELLED"}).json()["tasks"]
    assert [task["task_id"] for task in listed] == [task_id]


def test_without_redis_a_training_request_is_refused_within_a_second(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with TestClient(create_app(bootstrap.api_services(away))) as api:
        started = time.perf_counter()
        answer = api.post("/trainmodel/", json=TRAINING)
        elapsed_s = time.perf_counter() - started
        health = api.get("/health/")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert error_of(answer)["type"] == "CONNECTION_ERROR"
    assert elapsed_s < 1.0
    assert health.status_code == 503
    assert health.json()["status"] == "unhealthy"


def test_health_tells_of_broker_store_and_the_missing_worker(api: TestClient) -> None:
    health = api.get("/health/").json()
    worker = api.get("/health/worker")

    assert health["status"] == "healthy"
    assert health["broker"] == "connected"
    assert worker.status_code == 503
    assert worker.json()["status"] == "unhealthy"
    assert "dramatiq_worker.py" in worker.json()["message"]


def test_a_meter_store_that_is_away_degrades_the_service(
    settings: Settings, tmp_path: Path
) -> None:
    damaged = tmp_path / "meters.sqlite"
    damaged.write_text("not a database, but long enough to be looked at " * 20)
    away = settings.model_copy(update={"sqlite_path": damaged})
    with TestClient(create_app(bootstrap.api_services(away))) as api:
        health = api.get("/health/")

    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert health.json()["meter_store"]["status"] == "disconnected"


def test_a_week_ahead_is_complete_ordered_and_never_negative(api: TestClient) -> None:
    answer = api.post("/forecast/", json=FORECAST)

    assert answer.status_code == 200
    body = answer.json()
    assert len(body["forecast"]) == body["horizon_hours"] == 168
    assert body["history"][-1]["timestamp"] < body["forecast"][0]["timestamp"]
    for point in body["forecast"]:
        values = list(point["quantiles"].values())
        assert all(math.isfinite(value) and value >= 0 for value in values)
        assert all(low <= high for low, high in itertools.pairwise(values))
        assert point["consumption"] == point["quantiles"]["0.5"]


def test_chosen_quantiles_come_back_in_order(api: TestClient) -> None:
    body = api.post(
        "/forecast/", json={**FORECAST, "horizon_hours": 2, "quantiles": [0.9, 0.25, 0.5]}
    ).json()

    assert body["quantile_levels"] == [0.25, 0.5, 0.9]
    assert list(body["forecast"][0]["quantiles"]) == ["0.25", "0.5", "0.9"]


def test_consumption_is_the_median_whatever_quantiles_are_asked(api: TestClient) -> None:
    hour = {**FORECAST, "horizon_hours": 1}
    full = api.post("/forecast/", json=hour).json()["forecast"][0]
    tails = api.post("/forecast/", json={**hour, "quantiles": [0.1, 0.9]}).json()["forecast"][0]

    assert tails["consumption"] == full["quantiles"]["0.5"]
    assert list(tails["quantiles"]) == ["0.1", "0.9"]


def test_a_forecast_of_past_days_uses_only_what_was_known_then(api: TestClient) -> None:
    days = {"start_date": "2022-11-01", "end_date": "2022-11-02"}
    body = api.post("/forecast/", json={**FORECAST, **days}).json()

    assert body["origin"] == "2022-10-31T23:00:00Z"  # local midnight in Rome
    assert len(body["forecast"]) == 48
    assert body["history"][-1]["timestamp"] == "2022-10-31T22:00:00Z"


def test_a_forecast_that_rests_on_little_says_so(api: TestClient) -> None:
    day = {"start_date": "2022-01-05", "end_date": "2022-01-05"}
    early = api.post("/forecast/", json={**FORECAST, **day}).json()
    late = api.post("/forecast/", json={**FORECAST, "horizon_hours": 1}).json()

    assert early["degraded"] is True
    assert early["degraded_reason"].startswith("Only 1")
    assert late["degraded"] is False


def test_an_absurd_forecast_is_replaced_by_the_baseline_and_said_to_be(
    settings: Settings, trained_models: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained_models, models)
    with h5py.File(models / "water" / "bwdf_dma_09.h5", "r+") as file:
        file["model_weights"].visititems(_spoil)
    own = settings.model_copy(update={"model_store": models})
    with TestClient(create_app(bootstrap.api_services(own))) as api:
        spoilt = api.post("/forecast/", json={**FORECAST, "history_hours": 168}).json()

    assert spoilt["degraded"] is True
    assert "last week's values answer" in spoilt["degraded_reason"]
    for last_week, point in zip(spoilt["history"], spoilt["forecast"], strict=True):
        assert last_week["consumption"] in (None, point["consumption"])
        assert list(point["quantiles"].values()) == sorted(point["quantiles"].values())


def _spoil(name: str, weights: object) -> None:
    if isinstance(weights, h5py.Dataset) and name.endswith("kernel"):
        weights[...] = weights[...] * 1e4


def test_a_body_that_is_not_text_is_a_bad_request(api: TestClient) -> None:
    answer = api.post(
        "/trainmodel/", content=b"\xff\xfe", headers={"Content-Type": "application/json"}
    )

    assert answer.status_code in {400, 422}
    assert error_of(answer)["details"]["field"] == "body"


def test_the_autumn_day_has_25_hours(api: TestClient) -> None:
    day = {"start_date": "2022-10-30", "end_date": "2022-10-30"}
    body = api.post("/forecast/", json={**FORECAST, **day}).json()

    stamps = [point["timestamp"] for point in body["forecast"]]
    assert len(stamps) == len(set(stamps)) == 25


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"horizon_hours": 169}, "horizon_hours"),
        ({"horizon_hours": 0}, "horizon_hours"),
        ({"start_date": "2023-01-01"}, "body"),
        ({"start_date": "2023-01-05", "end_date": "2023-01-04"}, "end_date"),
        ({"start_date": "2023-01-05", "end_date": "2023-02-04"}, "end_date"),
        ({"start_date": "9999-12-30", "end_date": "9999-12-31"}, "start_date"),
        ({"start_date": "0001-01-01", "end_date": "0001-01-02"}, ""),
        ({"start_date": "2023-01-01T05:00:00", "end_date": "2023-01-02T05:00:00"}, "start_date"),
        ({"horizon_hours": 3, "temperature": [5.0] * 4}, "temperature"),
        ({"horizon_hours": 3, "temperature": [5.0, "warm"]}, "temperature"),
        ({"quantiles": [1.5]}, "quantiles"),
        ({"quantiles": []}, "quantiles"),
    ],
)
def test_a_bad_forecast_request_names_the_field(
    api: TestClient, change: dict[str, object], field: str
) -> None:
    answer = api.post("/forecast/", json={**FORECAST, **change})

    assert answer.status_code == 422
    assert error_of(answer)["details"]["field"].startswith(field)


def test_temperature_of_the_hours_ahead_is_used_when_it_is_sent(api: TestClient) -> None:
    cold = {**FORECAST, "horizon_hours": 24, "temperature": [-5.0] * 24}
    body = api.post("/forecast/", json=cold).json()

    assert body["temperature_source"] == "request"
    assert body["temperature_hours"] == 24


def test_a_weather_forecast_that_ends_early_is_used_as_far_as_it_goes(api: TestClient) -> None:
    # Given a short gap, which is bridged
    sent = [*[5.0] * 10, None, *[6.0] * 13]
    body = api.post("/forecast/", json={**FORECAST, "temperature": sent}).json()

    assert body["temperature_source"] == "partial"
    assert body["temperature_hours"] == 24
    assert len(body["forecast"]) == 168


def test_a_stored_weather_forecast_is_used_when_none_is_sent(
    settings: Settings, tmp_path: Path
) -> None:
    # Given a forecast every three hours for the two days after the last reading
    own = settings.model_copy(update={"sqlite_path": tmp_path / "meters.sqlite"})
    shutil.copy(settings.sqlite_path, own.sqlite_path)
    store = SqliteMeterStore(own.sqlite_path)
    last = store.describe(WATER).last_reading
    assert last is not None
    hours = to_datetime64(last) + HOUR + np.arange(0, 49, 3) * HOUR
    store.write_temperature_forecast(
        WATER, TemperatureForecast(timestamps=hours, degrees=np.full(len(hours), -15.0))
    )
    a_day = {**FORECAST, "horizon_hours": 24}

    # When
    with TestClient(create_app(bootstrap.api_services(own))) as api:
        day = api.post("/forecast/", json=a_day).json()
        week = api.post("/forecast/", json=FORECAST).json()
        cold = api.post("/forecast/", json={**a_day, "temperature": [-15.0] * 24}).json()
        warm = api.post("/forecast/", json={**a_day, "temperature": [25.0] * 24}).json()

    # Then
    assert (day["temperature_source"], day["temperature_hours"]) == ("store", 24)
    assert (week["temperature_source"], week["temperature_hours"]) == ("partial", 49)
    assert day["forecast"] == cold["forecast"] != warm["forecast"]
    assert warm["temperature_source"] == "request"


def test_measured_temperatures_are_no_forecast_of_a_past_day(api: TestClient) -> None:
    past = {"start_date": "2022-01-10", "end_date": "2022-01-10"}
    body = api.post("/forecast/", json={**FORECAST, **past}).json()

    assert body["temperature_source"] == "unused"
    assert body["temperature_hours"] == 0


def test_a_forecast_as_csv_has_a_header_and_a_row_an_hour(api: TestClient) -> None:
    answer = api.post("/forecast/?format=csv", json={**FORECAST, "horizon_hours": 5})

    rows = list(csv.reader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert rows[0][:3] == ["timestamp", "consumption", "q0.1"]
    assert len(rows) == 6


def test_a_meter_without_model_says_what_to_do(api: TestClient, silent_meter: Meter) -> None:
    body = {"meter_id": silent_meter.meter_id, "meter_type": silent_meter.meter_type}
    answer = api.post("/forecast/", json=body)

    assert answer.status_code == 404
    assert "POST /trainmodel/" in error_of(answer)["message"]


def test_models_and_meters_can_be_read(api: TestClient) -> None:
    models = api.get("/models/").json()["models"]
    model = api.get("/models/water/bwdf_dma_09").json()
    meters = api.get("/meters/", params={"meter_type": "water"}).json()
    meter = api.get("/meters/water/bwdf_dma_09/").json()

    assert [card["meter_id"] for card in models] == ["bwdf_dma_09"]
    assert model["champion"]["version"] == model["versions"][0]["version"]
    assert {each["meter_id"] for each in meters["meters"]} == {"bwdf_dma_05", "bwdf_dma_09"}
    assert meter["has_model"] is True
    assert meter["timezone"] == "Europe/Rome"
    assert api.get("/meters/water/unknown").status_code == 404
    assert api.get("/models/water/unknown").status_code == 404


def test_a_rollback_and_a_deletion_change_what_serves(
    settings: Settings, trained_models: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained_models, models)
    own = settings.model_copy(update={"model_store": models})
    with TestClient(create_app(bootstrap.api_services(own))) as api:
        version = api.get("/models/water/bwdf_dma_09").json()["champion"]["version"]
        nothing_before = api.post("/models/water/bwdf_dma_09/rollback")
        named = api.post("/models/water/bwdf_dma_09/rollback", json={"version": version})
        deleted = api.delete("/models/water/bwdf_dma_09")
        forecast = api.post("/forecast/", json=FORECAST)

    assert nothing_before.status_code == 409
    assert named.json()["champion"]["version"] == version
    assert deleted.status_code == 204
    assert forecast.status_code == 404


def test_a_request_id_is_honoured_and_a_hostile_one_replaced(api: TestClient) -> None:
    honoured = api.get("/health/", headers={"X-Request-ID": "abc-1"})
    replaced = api.get("/health/", headers={"X-Request-ID": "a b\tc"})

    assert honoured.headers["X-Request-ID"] == "abc-1"
    assert replaced.headers["X-Request-ID"] != "a b\tc"


def test_every_example_of_the_openapi_document_works(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    train_example = schemas["TrainRequest"]["examples"][0]
    forecast_example = {**schemas["ForecastRequest"]["examples"][0], **FORECAST}

    assert api.post("/trainmodel/", json=train_example).status_code == 200
    assert api.post("/forecast/", json=forecast_example).status_code == 200
    assert api.get("/docs").status_code == 200
