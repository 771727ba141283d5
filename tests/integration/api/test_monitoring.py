"""Calibration that follows the readings after a training, over HTTP, from a real meter store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.training import train
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.registry.artifact import write_card
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.settings import Settings

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

METER = Meter(meter_type="electricity", meter_id="ucam_b37_elec")
BODY = {"meter_id": METER.meter_id, "meter_type": METER.meter_type, "horizon_hours": 48}
MONITORING = f"/models/{METER.meter_type}/{METER.meter_id}/monitoring"

#: Four weeks and a half before the sample ends.
TRAINED_UNTIL = datetime(2022, 12, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def history(sample_store: Path) -> History:
    return SqliteMeterStore(sample_store).read_history(METER)


@pytest.fixture(scope="module")
def models_of_november(
    tmp_path_factory: pytest.TempPathFactory, sample_store: Path, history: History
) -> Path:
    """Return a registry with a model that has not seen December."""
    root = tmp_path_factory.mktemp("models")
    registry = ModelRegistry(root, versions_kept=3)
    profile = SqliteMeterStore(sample_store).describe(METER).profile
    past = history.before(TRAINED_UNTIL)
    trained = train(past, METER, profile, TrainingOptions(max_trials=0), lambda _: None)
    incoming = registry.incoming_path()
    trained.network.save(incoming)
    write_card(incoming, trained.card)
    registry.publish(incoming, trained.card)
    return root


@pytest.fixture
def store(sample_store: Path, history: History, tmp_path: Path) -> SqliteMeterStore:
    """Return a meter store that knows what the model has learnt from, and no more."""
    store = SqliteMeterStore(tmp_path / "meters.sqlite")
    store.write_profile(METER, SqliteMeterStore(sample_store).describe(METER).profile)
    store.write_readings(METER, iter([history.before(TRAINED_UNTIL)]))
    return store


@pytest.fixture
def own_settings(
    settings: Settings, models_of_november: Path, store: SqliteMeterStore, tmp_path: Path
) -> Settings:
    del store
    return settings.model_copy(
        update={"model_store": models_of_november, "sqlite_path": tmp_path / "meters.sqlite"}
    )


@pytest.fixture
def own_api(own_settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(bootstrap.api_services(own_settings))) as client:
        yield client


def test_new_readings_are_scored_and_teach_the_next_forecast(
    own_api: TestClient, own_settings: Settings, store: SqliteMeterStore, history: History
) -> None:
    # Given a fresh model
    before = own_api.post("/forecast/", json=BODY).json()
    assert before["calibration"] is None
    assert own_api.get(MONITORING).json()["calibration"] is None
    # When December's readings come in, and forecasts are asked for twice and of a second API
    store.write_readings(METER, iter([history]))
    first = own_api.post("/forecast/", json=BODY).json()
    again = own_api.post("/forecast/", json=BODY).json()
    with TestClient(create_app(bootstrap.api_services(own_settings))) as other_api:
        elsewhere = other_api.post("/forecast/", json=BODY).json()
    # Then
    record = first["calibration"]
    assert record["scored_days"] == 28
    assert record["first_day"]["hours"] == 28 * 24
    assert 0.65 < record["first_day"]["coverage80"] < 0.95
    assert record["later_days"]["hours"] == 6 * 28 * 24
    assert first["forecast"] == again["forecast"] == elsewhere["forecast"]
    assert record == again["calibration"] == elsewhere["calibration"]
    monitored = own_api.get(MONITORING).json()
    assert monitored["calibration"] == record
    assert monitored["calibration_known_temperature"]["first_day"]["hours"] == 28 * 24
    assert monitored["version"] == first["model"]["version"]


def test_a_meter_that_changed_its_habits_is_to_be_trained_again(
    own_api: TestClient, store: SqliteMeterStore, history: History
) -> None:
    # Given four weeks in which the meter swings from hour to hour, the same every week
    new = history.timestamps >= np.datetime64(TRAINED_UNTIL.replace(tzinfo=None), "s")
    swings = np.where(np.arange(len(history)) % 2, 20.0, 150.0)
    store.write_readings(
        METER,
        iter(
            [
                History(
                    timestamps=history.timestamps[new],
                    consumption=swings[new],
                    temperature=history.temperature[new],
                )
            ]
        ),
    )
    # When
    body = own_api.post("/forecast/", json=BODY).json()
    monitored = own_api.get(MONITORING).json()
    # Then
    assert body["degraded"] is True
    assert "train the meter again" in body["degraded_reason"]
    assert monitored["advice"] == body["degraded_reason"]
    score = monitored["calibration"]["first_day"]
    assert score["error_to_naive"] > 1.1
    assert abs(score["coverage80"] - 0.8) < abs(score["coverage80_unadapted"] - 0.8)


def test_the_tails_can_be_asked_for_and_are_ordered(own_api: TestClient) -> None:
    levels = [0.01, 0.025, 0.05, 0.1, 0.5, 0.9, 0.95, 0.975, 0.99]
    body = own_api.post("/forecast/", json={**BODY, "quantiles": levels}).json()

    for point in body["forecast"]:
        values = list(point["quantiles"].values())
        assert values == sorted(values)
        assert values[0] < values[3]
        assert values[-1] > values[5]
    refused = own_api.post("/forecast/", json={**BODY, "quantiles": [0.995]})
    assert refused.status_code == 422
    assert "0.01 and 0.99" in refused.json()["error"]["message"]


def test_monitoring_a_meter_without_a_model_is_404(own_api: TestClient) -> None:
    assert own_api.get("/models/water/unknown/monitoring").status_code == 404
