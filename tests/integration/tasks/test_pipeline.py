"""The pipeline over a real Redis and a real registry; the trainer is replaced by a quick one."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from energy_forecasting.domain.base_card import BaseCard, base_task_of
from energy_forecasting.domain.errors import ConnectionFailed, StorageFailed
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import GateReport, ModelCard
from energy_forecasting.domain.quality import QualityLimits, Verdict
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.domain.stages import Stage
from energy_forecasting.domain.trainings import ProgressListener, TrainingPhase, TrainingProgress
from energy_forecasting.forecasting.quality.limits import DEFAULT_LIMITS
from energy_forecasting.forecasting.quality.report import quality_report
from energy_forecasting.forecasting.young.store_base_training import learn_store_base
from energy_forecasting.meters.memory import InMemoryMeterStore
from energy_forecasting.meters.store import StoreStatus
from energy_forecasting.registry.base_registry import BaseRegistry, read_base, write_base
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.tasks import workers
from energy_forecasting.tasks.base_building import BaseBuilder
from energy_forecasting.tasks.lost_tasks import LostTasks
from energy_forecasting.tasks.pipeline import TrainingPipeline
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_keys import LEASES
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.trainer_process import BaseJob, TrainingJob
from energy_forecasting.tasks.wish import Wish
from energy_forecasting.tasks.workers import WorkerHeart, WorkerRegistry
from tests.model_cards import METER, card, gate_report, write_artifact

pytestmark = pytest.mark.redis


class QuickTrainers:
    """Stands in for the trainer pool: reports progress, writes a file, returns a card."""

    def __init__(self) -> None:
        self.before_return: Callable[[], None] = lambda: None
        self.error: Exception | None = None
        self.version = "v1"
        self.gate: GateReport | None = None
        self.job: TrainingJob | None = None

    def train(
        self,
        job: TrainingJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> ModelCard:
        self.job = job
        on_progress(TrainingProgress(fraction=0.5, phase=TrainingPhase.FITTING))
        self.before_return()
        raise_if_gone()
        if self.error:
            raise self.error
        self.job = job
        made = card(self.version, job.meter).model_copy(update={"gate": self.gate})
        write_artifact(job.artifact, made)
        return made

    def learn_base(
        self,
        job: BaseJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> BaseCard:
        learnt = learn_store_base(job.meter_type, job.meters, job.skipped, on_progress)
        self.before_return()
        raise_if_gone()
        write_base(job.artifact, learnt.card, learnt.base.to_arrays())
        return learnt.card


class StoreAway(InMemoryMeterStore):
    """A meter store that cannot be reached."""

    def check(self) -> StoreStatus:
        raise ConnectionFailed("InfluxDB at http://db:8086 cannot be reached.")


class World:
    """One worker's parts, without threads."""

    def __init__(
        self,
        url: str,
        models: Path,
        meters: InMemoryMeterStore,
        *,
        limits: QualityLimits = DEFAULT_LIMITS,
    ) -> None:
        self.client: redis.Redis = api_redis(url)
        self.broker: RedisBroker = redis_broker(api_redis(url, decode_responses=False))
        self.store = TaskStore(self.client, url=url, retention=timedelta(days=1))
        self.trainers = QuickTrainers()
        self.models = ModelRegistry(models, versions_kept=3)
        self.bases = BaseRegistry(models)
        self.must_stop = False
        self.heart = WorkerHeart(
            WorkerRegistry(self.client, url=url),
            self.store,
            version="1",
            threads=1,
            trainer_pids=list,
        )
        self.pipeline = TrainingPipeline(
            store=self.store,
            queue=TrainingQueue(self.broker, url=url),
            meters=meters,
            trainers=self.trainers,  # type: ignore[arg-type]
            registry=self.models,
            heart=self.heart,
            base_builder=BaseBuilder(
                meters=meters,
                trainers=self.trainers,  # type: ignore[arg-type]
                models=self.models,
                bases=self.bases,
                history=timedelta(days=730),
                max_meters=4,
            ),
            history_days=730,
            deadline_s=900.0,
            limits=limits,
            must_stop=lambda: self.must_stop,
        )

    def train(self, meter: Meter = METER) -> TaskRecord:
        task_id = self.store.admit(meter, Wish()).task_id
        return self.run(task_id)

    def run(self, task_id: str) -> TaskRecord:
        self.pipeline.run(task_id)
        return self.store.get(task_id)

    def waiting_messages(self) -> int:
        return int(self.client.llen("dramatiq:training") + self.client.llen("dramatiq:training.DQ"))

    def close(self) -> None:
        self.client.close()
        self.broker.client.close()


def history(days: float, *, constant: bool = False, seed: int | None = None) -> History:
    noise = 0.0 if seed is None else np.random.default_rng(seed).normal(0, 0.3, int(days * 24))
    hours = np.arange(int(days * 24))
    return History(
        timestamps=(np.datetime64("2025-01-01T00", "s") + hours * HOUR).astype("datetime64[s]"),
        consumption=np.ones(len(hours)) if constant else 5 + np.sin(hours / 24 * 2 * np.pi) + noise,
        temperature=np.full(len(hours), np.nan),
    )


@pytest.fixture
def meters() -> InMemoryMeterStore:
    store = InMemoryMeterStore()
    store.write_readings(METER, iter([history(200)]))
    return store


@pytest.fixture
def world(redis_url: str, tmp_path: Path, meters: InMemoryMeterStore) -> Iterator[World]:
    made = World(redis_url, tmp_path, meters)
    yield made
    made.close()


def test_a_training_ends_with_the_documented_result_and_a_champion(world: World) -> None:
    record = world.train()

    assert record.status is Stage.SUCCESS
    assert record.message == "Model training completed successfully!"
    assert record.result is not None
    assert record.result["status"] == "success"
    assert record.result["message"].startswith("Model trained and saved at ")
    details = record.result["details"]
    assert details["data_points"] == 4800
    assert details["model_path"].endswith("water/m1.h5")
    documented = {"meter_id", "meter_type", "data_points", "model_path", "training_completed"}
    assert documented | {"data_fetch_time_seconds", "training_time_seconds"} <= set(details)
    assert world.models.champion(METER).version == "v1"


@pytest.mark.parametrize(
    ("meter_id", "readings", "error_type"),
    [
        ("unknown", None, "NO_DATA_FOUND"),
        ("empty", 0.0, "NO_DATA_FOUND"),
        ("one_day", 1.0, "INSUFFICIENT_DATA"),
        ("constant", 200.0, "DATA_QUALITY_ERROR"),
    ],
)
def test_a_history_that_cannot_teach_fails_with_its_own_error_type(
    world: World,
    meters: InMemoryMeterStore,
    meter_id: str,
    readings: float | None,
    error_type: str,
) -> None:
    meter = Meter(meter_type="water", meter_id=meter_id)
    if readings is not None:
        meters.write_profile(meter, MeterProfile(unit="m3/h"))
        made = history(readings, constant=meter_id == "constant")
        meters.write_readings(meter, iter([made] if readings else []))

    record = world.train(meter)

    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["type"] == error_type
    assert record.error_details["retryable"] is False
    assert record.error == record.message
    assert world.waiting_messages() == 0


def test_a_daily_meter_is_learnt_in_hours_that_tell_where_its_readings_begin(
    world: World, meters: InMemoryMeterStore
) -> None:
    meter = Meter(meter_type="gas", meter_id="daily")
    year = history(365)
    daily = History(
        timestamps=year.timestamps[::24],
        consumption=100 + np.arange(365.0) % 7,
        temperature=np.full(365, np.nan),
    )
    meters.write_readings(meter, iter([daily]))

    record = world.train(meter)

    job = world.trainers.job
    assert record.status is Stage.SUCCESS
    assert job is not None
    assert len(job.history) == 365 * 24
    assert job.profile.resolution == timedelta(days=1)
    assert job.inside is not None
    assert len(job.inside) == 365 * 23


def test_a_resolution_that_is_not_the_declared_one_fails_with_both_named(
    world: World, meters: InMemoryMeterStore
) -> None:
    meters.write_profile(METER, MeterProfile(resolution=timedelta(minutes=15)))

    record = world.train()

    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["problem"] == "resolution_differs"
    assert record.error_details["declared_minutes"] == 15
    assert record.error_details["found_minutes"] == 60


def test_a_store_that_is_away_is_tried_again_and_then_given_up(
    redis_url: str, tmp_path: Path
) -> None:
    world = World(redis_url, tmp_path, StoreAway())
    first = world.train()

    assert first.status is Stage.PENDING
    assert first.attempt == 2
    assert "retry 1 of 3" in first.message
    assert world.waiting_messages() == 1
    for _ in range(3):
        last = world.run(first.task_id)
    assert last.status is Stage.FAILED
    assert last.error_details is not None
    assert last.error_details["type"] == "CONNECTION_ERROR"
    world.close()


def test_a_model_that_cannot_be_saved_is_retried(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFailed("Could not save a model in models/: No space left on device.")

    monkeypatch.setattr(world.models, "publish", full)
    record = world.train()

    assert record.status is Stage.PENDING
    assert "No space left" in record.message


def test_a_bug_is_a_training_error_that_hides_its_inside(world: World) -> None:
    world.trainers.error = ZeroDivisionError("secret detail")
    record = world.train()

    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["type"] == "TRAINING_ERROR"
    assert "secret detail" not in str(record.error)


def test_a_training_over_its_deadline_is_tried_once_more_and_then_fails(world: World) -> None:
    task_id = world.store.admit(METER, Wish(deadline_s=1.0)).task_id
    world.trainers.before_return = lambda: time.sleep(1.1)

    first = world.run(task_id)
    second = world.run(task_id)

    assert (first.status, first.attempt) == (Stage.PENDING, 2)
    assert "longer than 1 s" in first.message
    assert second.status is Stage.FAILED
    assert second.error_details is not None
    assert second.error_details["type"] == "TIMEOUT_ERROR"
    assert world.models.champions() == []


def test_an_attempt_that_is_stuck_beyond_its_deadline_is_ended_by_the_heart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose thread cannot look at the clock
    monkeypatch.setattr(workers, "STUCK_AFTER_S", 0.0)
    task_id = world.store.admit(METER, Wish(deadline_s=1.0)).task_id
    seen: list[TaskRecord] = []

    def be_stuck() -> None:
        time.sleep(1.1)
        world.heart._renew_leases()
        seen.append(world.store.get(task_id))

    world.trainers.before_return = be_stuck
    # When
    record = world.run(task_id)
    # Then the record had gone back to the queue while the thread was still stuck
    assert (seen[0].status, seen[0].attempt) == (Stage.PENDING, 2)
    assert (record.status, record.attempt) == (Stage.PENDING, 2)
    assert world.models.champions() == []


def test_a_training_outlives_a_redis_that_is_away_while_it_reports(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionFailed("Redis is away.")

    monkeypatch.setattr(world.store, "report_training", away)

    assert world.train().status is Stage.SUCCESS


def test_a_model_that_a_lost_attempt_has_published_is_gone_once_the_task_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that dies between the publication and the success
    task_id = world.store.admit(METER, Wish()).task_id

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.store, "succeed", die)
    with pytest.raises(KeyboardInterrupt):
        world.run(task_id)
    assert world.models.champion(METER).version == "v1"
    world.client.zadd(LEASES, {task_id: 1})
    lost = LostTasks(world.client, world.store, url="redis://", retention=timedelta(days=1))
    assert lost.release_lost(task_id, max_losses=3) is not None
    monkeypatch.undo()
    # When another attempt succeeds
    world.trainers.version = "v2"
    record = world.run(task_id)
    # Then
    assert record.status is Stage.SUCCESS
    assert [card.version for card in world.models.versions(METER)] == ["v2"]


def test_a_task_cancelled_while_it_trains_publishes_nothing(world: World) -> None:
    task_id = world.store.admit(METER, Wish()).task_id

    def cancel() -> None:
        world.store.cancel(task_id)

    world.trainers.before_return = cancel
    record = world.run(task_id)

    assert record.status is Stage.CANCELLED
    assert world.models.champions() == []


def test_a_task_cancelled_while_it_is_saved_takes_its_model_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = world.store.admit(METER, Wish()).task_id
    publish = world.models.publish

    def publish_then_cancel(incoming: Path, made: ModelCard, *, promote: bool) -> object:
        publication = publish(incoming, made, promote=promote)
        world.store.cancel(task_id)
        return publication

    monkeypatch.setattr(world.models, "publish", publish_then_cancel)
    record = world.run(task_id)

    assert record.status is Stage.CANCELLED
    assert world.models.champions() == []


def test_a_model_that_is_worse_is_kept_and_the_champion_serves_on(world: World) -> None:
    world.train()
    world.trainers.version = "v2"
    world.trainers.gate = gate_report("v1", promoted=False)
    record = world.train()

    assert record.status is Stage.SUCCESS
    assert record.result is not None
    assert "the champion keeps serving. Worse than the champion." in record.result["message"]
    assert "/rollback with version v2" in record.result["message"]
    details = record.result["details"]
    assert details["promoted"] is False
    assert details["gate"]["challenger_mase"] == 0.8
    assert details["model_path"].endswith("water/m1.versions/v2.h5")
    assert world.models.champion(METER).version == "v1"
    refused = world.models.versions(METER)[0]
    assert refused.gate == world.trainers.gate


def test_a_model_that_is_not_worse_takes_over_with_the_documented_message(world: World) -> None:
    world.train()
    world.trainers.version = "v2"
    world.trainers.gate = gate_report("v1", promoted=True)
    record = world.train()

    assert record.result is not None
    assert record.result["message"].startswith("Model trained and saved at ")
    assert record.result["message"].endswith("water/m1.h5")
    assert record.result["details"]["promoted"] is True
    assert world.models.champion(METER).version == "v2"


def test_a_rollback_while_a_training_runs_stands(world: World) -> None:
    # Given the champion v2, against which v3 is measured, and a rollback to v1 meanwhile
    world.train()
    world.trainers.version = "v2"
    world.train()
    world.trainers.version = "v3"
    world.trainers.gate = gate_report("v2", promoted=True)

    def roll_back() -> None:
        world.models.rollback(METER)

    world.trainers.before_return = roll_back
    # When
    record = world.train()
    # Then
    assert record.result is not None
    assert record.result["details"]["promoted"] is False
    assert "changed to v1 while this model was trained" in record.result["message"]
    assert world.models.champion(METER).version == "v1"
    assert [each.version for each in world.models.versions(METER)] == ["v3", "v2", "v1"]


def test_a_refused_model_serves_when_the_champion_was_deleted_meanwhile(world: World) -> None:
    world.train()
    world.trainers.version = "v2"
    world.trainers.gate = gate_report("v1", promoted=False)
    world.trainers.before_return = lambda: world.models.delete(METER)
    record = world.train()

    assert record.result is not None
    assert record.result["details"]["promoted"] is True
    champion = world.models.champion(METER)
    assert champion.version == "v2"
    assert champion.gate is not None
    assert champion.gate.promoted


def test_a_task_cancelled_while_its_refused_model_is_saved_leaves_no_version(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.train()
    world.trainers.version = "v2"
    world.trainers.gate = gate_report("v1", promoted=False)
    task_id = world.store.admit(METER, Wish()).task_id
    publish = world.models.publish

    def publish_then_cancel(incoming: Path, made: ModelCard, *, promote: bool) -> object:
        publication = publish(incoming, made, promote=promote)
        world.store.cancel(task_id)
        return publication

    monkeypatch.setattr(world.models, "publish", publish_then_cancel)
    record = world.run(task_id)

    assert record.status is Stage.CANCELLED
    assert [each.version for each in world.models.versions(METER)] == ["v1"]
    assert world.models.champion(METER).version == "v1"


def test_the_data_report_stands_on_the_card_and_in_short_in_the_result(
    world: World, meters: InMemoryMeterStore
) -> None:
    record = world.train()

    expected = quality_report(meters.read_history(METER), MeterProfile())
    assert world.models.champion(METER).quality == expected
    assert record.result is not None
    shown = record.result["details"]["quality"]
    assert set(shown) == {"verdict", "verdict_reason", "findings"}
    assert shown["verdict"] == expected.verdict
    assert [each["code"] for each in shown["findings"]] == [each.code for each in expected.findings]


def test_a_history_beyond_a_limit_is_refused_with_the_report(
    redis_url: str, tmp_path: Path, meters: InMemoryMeterStore
) -> None:
    # Given a week without readings where three days are allowed
    full = history(200)
    gap = np.r_[0:2000, 2168 : len(full)]
    meter = Meter(meter_type="water", meter_id="gap")
    meters.write_profile(meter, MeterProfile())
    made = History(
        timestamps=full.timestamps[gap],
        consumption=full.consumption[gap],
        temperature=full.temperature[gap],
    )
    meters.write_readings(meter, iter([made]))
    limits = QualityLimits(gap_days=3)
    world = World(redis_url, tmp_path, meters, limits=limits)
    # When
    record = world.train(meter)
    world.close()
    # Then
    report = quality_report(made, MeterProfile(), limits=limits)
    assert report.verdict is Verdict.UNUSABLE
    assert record.status is Stage.FAILED
    assert record.error == report.verdict_reason
    assert record.error_details is not None
    assert record.error_details["type"] == "DATA_QUALITY_ERROR"
    assert record.error_details["problem"] == "long_gap"
    assert record.error_details["quality"] == report.model_dump(mode="json")


def test_a_stopping_worker_returns_its_task_to_the_queue(world: World) -> None:
    task_id = world.store.admit(METER, Wish()).task_id

    def stop() -> None:
        world.must_stop = True

    world.trainers.before_return = stop
    record = world.run(task_id)

    assert record.status is Stage.PENDING
    assert record.message == "The worker was stopped; queued again"
    assert world.waiting_messages() == 1


def test_nothing_incoming_is_left_behind(world: World) -> None:
    world.train()
    world.trainers.error = ZeroDivisionError()
    world.train()

    assert list((world.models.root / ".incoming").iterdir()) == []


def test_a_message_for_an_ended_task_is_dropped(world: World) -> None:
    record = world.train()

    assert world.run(record.task_id).updated_at == record.updated_at


GAS_BASE = base_task_of("gas")


def gas(number: int) -> Meter:
    return Meter(meter_type="gas", meter_id=f"g{number}")


@pytest.fixture
def gas_meters(meters: InMemoryMeterStore) -> InMemoryMeterStore:
    """Return a store that also holds six old, one young and one dead gas meter."""
    for number in range(6):
        meters.write_readings(gas(number), iter([history(70, seed=number)]))
    meters.write_readings(gas(6), iter([history(10, seed=6)]))
    meters.write_readings(gas(7), iter([history(70, constant=True)]))
    return meters


def test_a_base_is_learnt_from_the_old_meters_of_its_type(
    world: World, gas_meters: InMemoryMeterStore
) -> None:
    # Given BASE_MAX_METERS of four
    del gas_meters
    # When
    record = world.train(GAS_BASE)
    # Then
    assert record.status is Stage.SUCCESS, record.error
    assert record.meter_id == "_base"
    assert record.result is not None
    details = record.result["details"]
    assert details["meters"] == 4
    assert details["model_path"].endswith(".base/gas.npz")
    assert details["skipped"].keys() <= {"gas/g6", "gas/g7"}
    path = world.bases.find("gas")
    assert path is not None
    card, tables = read_base(path)
    assert all(meter.startswith("gas/") for meter in card.meters)
    assert card.skill > 0
    assert len(tables["meters"]) == 4 + 4  # the sample comes on top
    assert world.models.champions() == []


def test_a_young_meter_is_trained_with_the_base_of_its_type(
    world: World, gas_meters: InMemoryMeterStore
) -> None:
    del gas_meters
    # Given no base yet, the result says how to get one
    first = world.train(gas(6))
    assert first.result is not None
    assert "POST /trainmodel/base" in first.result["details"]["advice"]
    assert world.trainers.job is not None
    assert world.trainers.job.base is None
    # When there is one
    world.train(GAS_BASE)
    second = world.train(gas(6))
    # Then the trainer gets it, and advice is no longer given
    assert world.trainers.job.base == world.bases.find("gas")
    assert second.result is not None
    assert "advice" not in second.result["details"]


def test_a_type_with_too_few_old_meters_has_no_base(world: World) -> None:
    record = world.train(base_task_of("water"))

    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["type"] == "INSUFFICIENT_DATA"
    assert record.error_details["need_meters"] == 3


def test_a_base_cancelled_while_it_is_saved_leaves_the_one_before(
    world: World, gas_meters: InMemoryMeterStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    del gas_meters
    # Given a base
    world.train(GAS_BASE)
    before = world.bases.card("gas").version
    # When another is cancelled after it was published
    task_id = world.store.admit(GAS_BASE, Wish()).task_id
    publish = world.bases.publish

    def publish_then_cancel(incoming: Path, meter_type: str) -> object:
        publication = publish(incoming, meter_type)
        world.store.cancel(task_id)
        return publication

    monkeypatch.setattr(world.bases, "publish", publish_then_cancel)
    record = world.run(task_id)
    # Then
    assert record.status is Stage.CANCELLED
    assert world.bases.card("gas").version == before
    assert list((world.models.root / ".incoming").iterdir()) == []


def test_a_base_cancelled_while_it_is_learnt_is_not_published(
    world: World, gas_meters: InMemoryMeterStore
) -> None:
    del gas_meters
    task_id = world.store.admit(GAS_BASE, Wish()).task_id

    def cancel() -> None:
        world.store.cancel(task_id)

    world.trainers.before_return = cancel

    assert world.run(task_id).status is Stage.CANCELLED
    assert world.bases.find("gas") is None
