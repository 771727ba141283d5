"""The one place where settings become collaborators; everything else receives what it needs."""

from datetime import timedelta
from functools import lru_cache

import redis
import structlog

from energy_forecasting import __version__
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.api.services import ApiServices
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.quality import QualityLimits
from energy_forecasting.logs import configure_logging
from energy_forecasting.meters.forecast_sink import ForecastSink
from energy_forecasting.meters.influx.config import InfluxConfig, load_influx_config
from energy_forecasting.meters.influx.forecast_sink import InfluxForecastSink
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.base_registry import BaseRegistry
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.serving.forecast_publisher import ForecastPublisher
from energy_forecasting.serving.forecast_service import ForecastService
from energy_forecasting.settings import Settings, WrongSetting, read_environment, read_settings
from energy_forecasting.tasks.actor import TrainingMiddleware
from energy_forecasting.tasks.admission import AdmissionDesk
from energy_forecasting.tasks.base_building import BaseBuilder
from energy_forecasting.tasks.batch_store import BatchStore
from energy_forecasting.tasks.dead_letters import DeadLetters
from energy_forecasting.tasks.forecast_marks import RedisForecastMarks
from energy_forecasting.tasks.forecast_publishing import ForecastPublishing
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.leasing_broker import LeasingBroker
from energy_forecasting.tasks.lost_tasks import LostTasks
from energy_forecasting.tasks.pipeline import TrainingPipeline
from energy_forecasting.tasks.publishing_right import PublishingRight
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.reconciler import Reconciler, mendings
from energy_forecasting.tasks.redis_client import api_redis, events_redis, worker_redis
from energy_forecasting.tasks.redis_probe import RedisProbe
from energy_forecasting.tasks.stop_order import StopOrder
from energy_forecasting.tasks.task_events import TaskEvents
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.trainers import TrainerLimits, TrainerPool
from energy_forecasting.tasks.training_allowance import TrainingAllowance
from energy_forecasting.tasks.workers import WorkerHeart, WorkerRegistry

NOWHERE_TO_PUBLISH = (
    "Forecasts are published to InfluxDB, and the meters are in the embedded store; there is "
    "nowhere to publish to. Configure InfluxDB in config/influxdb_config.json."
)

logger = structlog.get_logger("bootstrap")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the process's settings, read once; a wrong one ends the process with a sentence."""
    try:
        return read_settings()
    except WrongSetting as wrong:
        raise SystemExit(str(wrong)) from wrong


def start_logging(current: Settings) -> None:
    """Configure the logs of a service."""
    configure_logging(
        log_dir=current.log_dir,
        debug=current.debug,
        console_format=current.log_format,
        files_kept=current.log_files_kept,
    )


def influx_config(current: Settings) -> InfluxConfig | None:
    """Return how InfluxDB is reached; None where the embedded store serves.

    A wrong configuration ends the process with a sentence that names file and key.
    """
    if current.meter_store == "sqlite":
        return None
    try:
        config = load_influx_config(current.influxdb_config, read_environment())
    except InvalidRequest as wrong:
        raise SystemExit(wrong.message) from wrong
    if config is None and current.meter_store == "influxdb":
        raise SystemExit(
            f"METER_STORE=influxdb, but neither {current.influxdb_config} nor INFLUXDB_URL is "
            "there. "
            "Copy config/influxdb_config.example.json and fill it in."
        )
    return config


def meter_store(current: Settings) -> MeterStore:
    """Return InfluxDB when it is configured or asked for, else the embedded store."""
    config = influx_config(current)
    if config is None:
        return SqliteMeterStore(current.sqlite_path)
    from energy_forecasting.meters.influx.store import (  # noqa: PLC0415 - slow to import
        InfluxMeterStore,
    )

    return InfluxMeterStore(config)


def forecast_sink(current: Settings) -> ForecastSink | None:
    """Return where forecasts are published to; None where the embedded store serves."""
    config = influx_config(current)
    if config is None:
        return None
    return InfluxForecastSink(
        InfluxHttp(config),
        url=config.url,
        container=config.forecasts.bucket or config.container,
        measurement=config.forecasts.measurement,
        timeout_s=config.timeout_s,
    )


def forecast_publisher(
    current: Settings, client: redis.Redis, meters: MeterStore, sink: ForecastSink
) -> ForecastPublisher:
    """Return what publishes the champions' forecasts."""
    models = model_registry(current)
    return ForecastPublisher(
        forecasts=ForecastService(models, meters),
        models=models,
        meters=meters,
        sink=sink,
        marks=RedisForecastMarks(client, url=current.redis_url),
        horizon_hours=current.publish_horizon_hours,
    )


def quality_limits(current: Settings) -> QualityLimits:
    """Return how bad a history may be, the same for the report and for the training."""
    return QualityLimits(
        missing_share=current.quality_max_missing_share,
        gap_days=current.quality_max_gap_days,
        flat_share=current.quality_max_flat_share,
        outlier_share=current.quality_max_outlier_share,
        negative_share=current.quality_max_negative_share,
    )


def model_registry(current: Settings) -> ModelRegistry:
    """Return the registry of trained models."""
    return ModelRegistry(current.model_store, versions_kept=current.model_versions_kept)


def task_store(current: Settings, client: redis.Redis) -> TaskStore:
    """Return the task records."""
    return TaskStore(
        client, url=current.redis_url, retention=timedelta(days=current.task_retention_days)
    )


def api_services(current: Settings) -> ApiServices:
    """Build the API's collaborators; none of them connects before it is used."""
    url = current.redis_url
    client = api_redis(url)
    tasks = task_store(current, client)
    workers = WorkerRegistry(client, url=url)
    batches = BatchStore(client, tasks, workers, url=url)
    dead_letters = DeadLetters(client, url=url)
    reads = GatheredReads(client, url=url)
    queue = TrainingQueue(redis_broker(api_redis(url, decode_responses=False)), url=url)
    return ApiServices(
        settings=current,
        tasks=tasks,
        reads=reads,
        events=TaskEvents(events_redis(url), reads, url=url),
        batches=batches,
        dead_letters=dead_letters,
        workers=workers,
        redis=RedisProbe(client, url=url),
        desk=AdmissionDesk(tasks, queue, batches, dead_letters),
        mendings=lambda: mendings(client, url=url),
        meters=meter_store(current),
        models=model_registry(current),
        limits=quality_limits(current),
        bases=BaseRegistry(current.model_store),
        keys=KeyRing(KeyFile(current.api_keys), is_required=current.require_api_key),
        allowance=TrainingAllowance(client, url=current.redis_url),
    )


class WorkerRuntime:
    """What lives as long as a worker process: trainers, heart, reconciler, pipeline.

    And, where PUBLISH_FORECASTS_MINUTES asks for it, what publishes forecasts.
    """

    def __init__(
        self,
        current: Settings,
        broker: LeasingBroker,
        *,
        threads: int,
        stop_order: StopOrder,
    ) -> None:
        client = worker_redis(current.redis_url)
        store = task_store(current, client)
        queue = TrainingQueue(broker, url=current.redis_url)
        self._meters = meter_store(current)
        self._trainers = TrainerPool(
            size=threads,
            spare=1,  # for a single request while batches keep the others at work
            max_trainings=current.trainer_max_trainings,
            limits=TrainerLimits(memory_mb=current.trainer_memory_limit_mb),
        )
        self._heart = WorkerHeart(
            WorkerRegistry(client, url=current.redis_url),
            store,
            version=__version__,
            threads=threads,
            trainer_pids=self._trainers.pids,
            is_draining=lambda: stop_order.is_given,
        )
        models = model_registry(current)
        retention = timedelta(days=current.task_retention_days)
        self._reconciler = Reconciler(
            client,
            LostTasks(client, store, url=current.redis_url, retention=retention),
            queue,
            broker,
            models.withdraw,
            url=current.redis_url,
            max_losses=current.max_worker_losses,
        )
        self._sink = forecast_sink(current) if current.publish_forecasts_minutes else None
        self._publishing = self._build_publishing(current, client)
        self.pipeline = TrainingPipeline(
            store=store,
            queue=queue,
            meters=self._meters,
            trainers=self._trainers,
            registry=models,
            heart=self._heart,
            base_builder=BaseBuilder(
                meters=self._meters,
                trainers=self._trainers,
                models=models,
                bases=BaseRegistry(current.model_store),
                history=timedelta(days=current.history_days),
                max_meters=current.base_max_meters,
            ),
            history_days=current.history_days,
            deadline_s=current.training_deadline_s,
            limits=quality_limits(current),
            must_stop=stop_order.is_overdue,
        )

    def start(self) -> None:
        """Start heart and reconciler; the trainers warm up behind."""
        self._trainers.start()
        self._heart.start()
        self._reconciler.start()
        if self._publishing is not None:
            self._publishing.start()

    def is_ready(self) -> bool:
        """Whether the worker is registered and its trainers are warm."""
        return self._heart.has_registered and self._trainers.are_warm

    def close(self) -> None:
        """Stop everything, trainers last to be asked and first to be killed."""
        self._reconciler.stop()
        if self._publishing is not None:
            self._publishing.stop()
        self._trainers.close()
        self._heart.stop()
        self._meters.close()
        if self._sink is not None:
            self._sink.close()

    def _build_publishing(
        self, current: Settings, client: redis.Redis
    ) -> ForecastPublishing | None:
        if not current.publish_forecasts_minutes:
            return None
        if self._sink is None:
            logger.error("PUBLISH_FORECASTS_MINUTES has no effect", reason=NOWHERE_TO_PUBLISH)
            return None
        return ForecastPublishing(
            forecast_publisher(current, client, self._meters, self._sink),
            PublishingRight(client, url=current.redis_url),
            every_s=60 * current.publish_forecasts_minutes,
        )


def training_middleware(current: Settings, broker: LeasingBroker) -> TrainingMiddleware:
    """Attach to the broker what its actor needs and return it."""

    def build_runtime(threads: int, stop_order: StopOrder) -> WorkerRuntime:
        return WorkerRuntime(current, broker, threads=threads, stop_order=stop_order)

    middleware = TrainingMiddleware(
        build_runtime, grace_s=current.shutdown_grace_s, drain_limit_s=current.drain_limit_s
    )
    broker.add_middleware(middleware)
    return middleware


def worker_broker(current: Settings) -> LeasingBroker:
    """Return the broker of a worker process."""
    return redis_broker(worker_redis(current.redis_url, decode_responses=False))
