"""The API over real parts: Redis, SQLite, a model trained on a sample meter."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.training import train
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.registry.artifact import write_card
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.settings import Settings
from tests.conftest import PROJECT_DIR

ELECTRICITY = Meter(meter_type="electricity", meter_id="ucam_b37_elec")
WATER = Meter(meter_type="water", meter_id="bwdf_dma_09")


@pytest.fixture(scope="session")
def sample_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("meters") / "meters.sqlite"
    data = PROJECT_DIR / "data"
    import_csv(data / "sample.csv.gz", SqliteMeterStore(path), profiles=data / "sample_meters.csv")
    return path


@pytest.fixture(scope="session")
def trained_models(tmp_path_factory: pytest.TempPathFactory, sample_store: Path) -> Path:
    """Return a registry with a model of the water meter, trained for real."""
    root = tmp_path_factory.mktemp("models")
    registry = ModelRegistry(root, versions_kept=3)
    store = SqliteMeterStore(sample_store)
    profile = store.describe(WATER).profile
    trained = train(
        store.read_history(WATER), WATER, profile, TrainingOptions(max_trials=0), lambda _: None
    )
    incoming = registry.incoming_path()
    trained.network.save(incoming)
    write_card(incoming, trained.card)
    registry.publish(incoming, trained.card)
    return root


@pytest.fixture
def settings(redis_url: str, sample_store: Path, trained_models: Path, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=sample_store,
        model_store=trained_models,
        log_dir=tmp_path,
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(bootstrap.api_services(settings))) as client:
        yield client


@pytest.fixture(scope="session")
def silent_meter(sample_store: Path, trained_models: Path) -> Meter:
    """Return a meter that the store knows, without a model."""
    del trained_models
    meter = Meter(meter_type="gas", meter_id="no_model")
    store = SqliteMeterStore(sample_store)
    store.write_profile(meter, MeterProfile())
    moment = np.datetime64(datetime(2022, 1, 1, tzinfo=UTC).replace(tzinfo=None), "s")
    reading = History(
        timestamps=np.array([moment]), consumption=np.ones(1), temperature=np.full(1, np.nan)
    )
    store.write_readings(meter, iter([reading]))
    return meter
