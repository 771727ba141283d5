"""The gate from end to end: real trainings, a real registry, forecasts over HTTP.

The trainer's work runs in this process; that it runs in another one changes nothing for it and
is tested elsewhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.readings import History, to_datetime
from energy_forecasting.domain.trainings import ProgressListener
from energy_forecasting.forecasting.quality.limits import DEFAULT_LIMITS
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.registry.base_registry import BaseRegistry
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.base_building import BaseBuilder
from energy_forecasting.tasks.pipeline import TrainingPipeline
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.trainer_process import TrainingJob, run_training
from energy_forecasting.tasks.wish import Wish
from energy_forecasting.tasks.workers import WorkerHeart, WorkerRegistry
from tests.conftest import PROJECT_DIR

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

METER = Meter(meter_type="electricity", meter_id="ucam_b37_elec")
WEEK = np.timedelta64(7, "D")

#: Older than what the gate looks at and than what those hours rest on.
SPOILT_WEEKS_AGO = 20


class TrainersHere:
    """Trains as a trainer process does, in this one."""

    def train(
        self,
        job: TrainingJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> ModelCard:
        del on_progress, raise_if_gone
        return run_training(job)


class Service:
    """A worker's pipeline and the API over the same stores."""

    def __init__(self, url: str, folder: Path) -> None:
        self.meters = SqliteMeterStore(folder / "meters.sqlite")
        self.models = ModelRegistry(folder / "models", versions_kept=5)
        self.settings = Settings(
            redis_url=url,
            meter_store="sqlite",
            sqlite_path=folder / "meters.sqlite",
            model_store=folder / "models",
            log_dir=folder,
        )
        self._client = api_redis(url)
        self._broker = redis_broker(api_redis(url, decode_responses=False))
        self._tasks = TaskStore(self._client, url=url, retention=timedelta(days=1))
        self._pipeline = TrainingPipeline(
            store=self._tasks,
            queue=TrainingQueue(self._broker, url=url),
            meters=self.meters,
            trainers=TrainersHere(),  # type: ignore[arg-type]
            registry=self.models,
            heart=WorkerHeart(
                WorkerRegistry(self._client, url=url),
                self._tasks,
                version="1",
                threads=1,
                trainer_pids=list,
            ),
            base_builder=BaseBuilder(
                meters=self.meters,
                trainers=TrainersHere(),  # type: ignore[arg-type]
                models=self.models,
                bases=BaseRegistry(folder / "models"),
                history=timedelta(days=730),
                max_meters=4,
            ),
            history_days=730,
            deadline_s=60.0,
            limits=DEFAULT_LIMITS,
            must_stop=lambda: False,
        )

    def train(self) -> dict[str, Any]:
        """Run a training and return its result."""
        task_id = self._tasks.admit(METER, Wish()).task_id
        self._pipeline.run(task_id)
        record = self._tasks.get(task_id)
        assert record.result is not None, record.message
        return dict(record.result)

    def close(self) -> None:
        self.meters.close()
        self._client.close()
        self._broker.client.close()


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[Service]:
    made = Service(redis_url, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def readings(tmp_path_factory: pytest.TempPathFactory) -> tuple[MeterProfile, History]:
    """Return a real meter's year."""
    data = PROJECT_DIR / "data"
    store = SqliteMeterStore(tmp_path_factory.mktemp("sample") / "meters.sqlite")
    import_csv(data / "sample.csv.gz", store, profiles=data / "sample_meters.csv")
    profile, history = store.describe(METER).profile, store.read_history(METER)
    store.close()
    return profile, history


def test_a_model_of_spoilt_readings_is_refused_and_a_good_one_takes_over(
    service: Service, readings: tuple[MeterProfile, History]
) -> None:
    # Given a champion that has seen all but the last week
    profile, history = readings
    last = history.timestamps[-1]
    service.meters.write_profile(METER, profile)
    service.meters.write_readings(METER, iter([history.before(to_datetime(last - WEEK))]))
    first = service.train()
    assert first["details"]["gate"] is None
    champion = first["details"]["model_version"]
    # When what is older than twenty weeks comes again, in Wh instead of kWh, and is trained on
    is_old = history.timestamps < last - SPOILT_WEEKS_AGO * WEEK
    spoilt = replace(history, consumption=np.where(is_old, 1000.0, 1.0) * history.consumption)
    service.meters.write_readings(METER, iter([spoilt]))
    refused = service.train()
    # Then
    assert refused["details"]["promoted"] is False
    assert f"Worse than the champion {champion}" in refused["message"]
    gate = refused["details"]["gate"]
    assert gate["days"] == 56
    assert gate["p_value"] < 0.05
    assert gate["challenger_mase"] > 2 * gate["champion_mase"]
    with TestClient(create_app(bootstrap.api_services(service.settings))) as api:
        answer = api.get("/models/electricity/ucam_b37_elec").json()
        forecast = api.post(
            "/forecast/", json={"meter_type": METER.meter_type, "meter_id": METER.meter_id}
        ).json()
    assert answer["champion"]["version"] == forecast["model"]["version"] == champion
    assert [each["version"] for each in answer["versions"]] == [
        refused["details"]["model_version"],
        champion,
    ]
    assert answer["versions"][0]["gate"] == gate
    # And when the readings are mended, the next training, with a week more, takes over
    service.meters.write_readings(METER, iter([history]))
    promoted = service.train()
    assert promoted["details"]["promoted"] is True
    assert promoted["details"]["gate"]["compared_with"] == champion
    assert promoted["message"].startswith("Model trained and saved at ")
    assert service.models.champion_version(METER) == promoted["details"]["model_version"]
