"""Young meters over HTTP: a base is learnt and a ten-day meter forecast, by real trainers."""

import itertools
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.stop_order import StopOrder
from energy_forecasting.tasks.trainer_process import TRAINER_ENVIRONMENT

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

BASE = {"meter_type": "gas"}
YOUNG = {"meter_type": "gas", "meter_id": "young"}


def office(days: int, seed: int) -> History:
    """Return a heated office: warm by day, cold at weekends, with noise."""
    hours = np.arange(days * 24)
    working = (hours // 24 % 7 < 5) & (hours % 24 >= 6) & (hours % 24 < 20)
    noise = np.random.default_rng(seed).normal(0, 0.5, len(hours))
    return History(
        timestamps=(np.datetime64("2025-01-06T00", "s") + hours * HOUR).astype("datetime64[s]"),
        consumption=5 + seed % 3 + np.where(working, 6.0, 0.0) + noise,
        temperature=np.full(len(hours), np.nan),
    )


@pytest.fixture
def own_settings(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in TRAINER_ENVIRONMENT:  # the pool sets them for its children; not for other tests
        monkeypatch.setenv(name, os.environ.get(name, ""))
    store = SqliteMeterStore(tmp_path / "meters.sqlite")
    for number in range(6):
        meter = Meter(meter_type="gas", meter_id=f"old_{number}")
        store.write_profile(meter, MeterProfile(unit="kWh"))
        store.write_readings(meter, iter([office(80, number)]))
    store.write_profile(Meter(**YOUNG), MeterProfile(unit="kWh"))
    store.write_readings(Meter(**YOUNG), iter([office(10, 9)]))
    store.close()
    return Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=tmp_path / "meters.sqlite",
        model_store=tmp_path / "models",
        log_dir=tmp_path,
    )


@pytest.fixture
def api(own_settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(bootstrap.api_services(own_settings))) as client:
        yield client


@pytest.fixture
def worker(own_settings: Settings) -> Iterator[bootstrap.WorkerRuntime]:
    runtime = bootstrap.WorkerRuntime(
        own_settings, bootstrap.worker_broker(own_settings), threads=1, stop_order=StopOrder()
    )
    runtime.start()
    yield runtime
    runtime.close()
    # It holds TensorFlow and would give it to the light trainers of other tests.
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def finished(
    api: TestClient, worker: bootstrap.WorkerRuntime, path: str, body: dict[str, str]
) -> dict[str, Any]:
    """Queue a task, run it as a worker thread would, and return its result's details."""
    task = api.post(path, json=body).json()
    worker.pipeline.run(task["task_id"])
    record = api.get(f"/trainmodel/status/{task['task_id']}").json()
    assert record["status"] == "SUCCESS", record
    details: dict[str, Any] = record["result"]["details"]
    return details


def test_a_ten_day_meter_is_forecast_with_the_built_in_base_and_better_with_one_of_its_own(
    api: TestClient, worker: bootstrap.WorkerRuntime
) -> None:
    # Given a meter of ten days, when it is trained before anything else
    first = finished(api, worker, "/trainmodel/", YOUNG)
    # Then the sample meters help, and the answer says what would be better
    assert first["method"] == "pooled_regression"
    assert first["base"] == {"source": "built_in", "meters": 4, "version": None}
    assert "POST /trainmodel/base" in first["advice"]
    # When a base is learnt and the meter trained again
    learnt = finished(api, worker, "/trainmodel/base", BASE)
    second = finished(api, worker, "/trainmodel/", YOUNG)
    # Then the store's meters help
    card = api.get("/models/base/gas").json()
    assert learnt["meters"] == 6
    assert learnt["skipped"].keys() == {"gas/young"}
    assert "10 days" in learnt["skipped"]["gas/young"]
    assert card["skill"] > 0
    assert card["uses_temperature"] is False
    assert second["base"] == {"source": "store", "meters": 6, "version": card["version"]}
    # And a week ahead is complete, ordered and near what such an office does
    body = api.post("/forecast/", json=YOUNG).json()
    assert "6 other meters of the store" in body["model"]["method_reason"]
    assert body["model"]["skill"] is None
    forecast = np.array([point["consumption"] for point in body["forecast"]])
    expected = office(17, 9).consumption[240:]
    assert np.abs(forecast - expected).mean() < 1.0
    for point in body["forecast"]:
        values = list(point["quantiles"].values())
        assert all(low <= high for low, high in itertools.pairwise(values))


def test_a_type_has_one_open_base_task_which_can_be_cancelled(api: TestClient) -> None:
    first = api.post("/trainmodel/base", json=BASE).json()
    second = api.post("/trainmodel/base/", json=BASE).json()

    assert first["status"] == "PENDING"
    assert first["meter_id"] == "_base"
    assert second["task_id"] == first["task_id"]
    assert second["deduplicated"] is True
    other = api.post("/trainmodel/base", json={"meter_type": "water"}).json()
    assert other["deduplicated"] is False
    assert api.delete(f"/trainmodel/{first['task_id']}").json()["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/trainmodel/base", {"meter_type": "sunshine"}, "meter_type"),
        ("/trainmodel/base", {"meter_type": "../gas"}, "meter_type"),
        ("/trainmodel/base", {}, "meter_type"),
        ("/trainmodel/", {"meter_type": "gas", "meter_id": "_base"}, "meter_id"),
        ("/forecast/", {"meter_type": "gas", "meter_id": "_base"}, "meter_id"),
    ],
)
def test_a_bad_base_request_names_the_field(
    api: TestClient, path: str, body: dict[str, str], field: str
) -> None:
    answer = api.post(path, json=body)

    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] == field


def test_a_type_without_a_base_says_how_to_get_one(api: TestClient) -> None:
    answer = api.get("/models/base/heat")

    assert answer.status_code == 404
    assert "POST /trainmodel/base" in answer.json()["detail"]
