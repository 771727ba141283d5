"""The work of a base's task: read the meters of a type, have a trainer learn, publish.

One history is in memory more than those already brought onto hours; with BASE_MAX_METERS of two
years each that is some 20 MB. Meters that cannot be learnt from are left out and named; a store
that is away is an error like any other.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.errors import DataQualityError, InsufficientData, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterSummary
from energy_forecasting.domain.resolutions import FINE_READINGS
from energy_forecasting.domain.stages import Stage
from energy_forecasting.domain.trainings import ProgressListener
from energy_forecasting.forecasting.validation import validate_history
from energy_forecasting.forecasting.young.base_training import BASE_METER_NEEDS_DAYS
from energy_forecasting.forecasting.young.store_base_training import BaseMeter, check_meter_count
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.base_registry import BasePublication, BaseRegistry
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.tasks.trainer_process import BaseJob
from energy_forecasting.tasks.trainers import TrainerPool

#: With so many meters old enough a base of the store's own is worth its minute.
_WORTH_A_BASE = 5

#: A batch of young meters shall not list a large store anew for each.
_LISTING_KEPT_S = 600.0

#: Names of left-out meters in a result; the card has them all.
_SKIPPED_SHOWN = 20

logger = structlog.get_logger("task.learn_base")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltBase:
    """What a base's task brought forth."""

    publication: BasePublication
    result: dict[str, Any]


class BaseBuilder:
    """Builds bases; one instance serves all threads of a worker process."""

    def __init__(
        self,
        *,
        meters: MeterStore,
        trainers: TrainerPool,
        models: ModelRegistry,
        bases: BaseRegistry,
        history: timedelta,
        max_meters: int,
    ) -> None:
        self._meters = meters
        self._trainers = trainers
        self._models = models
        self.bases = bases
        self._history = history
        self._max_meters = max_meters
        self._old_meters: dict[str, tuple[float, list[Meter]]] = {}

    def build(
        self,
        meter_type: str,
        *,
        enter: Callable[[Stage], None],
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> BuiltBase:
        """Build and publish the base of a type.

        Args:
            meter_type: whose meters.
            enter: writes the next stage into the task's record.
            on_progress: hears how far the learning is.
            raise_if_gone: raises when the task has ended or the worker stops.

        Raises:
            EnergyForecastingError: too few meters, the store is away, the trainer failed.
        """
        enter(Stage.CONNECTING)
        started = time.monotonic()
        self._meters.check()
        enter(Stage.FETCHING_DATA)
        usable, skipped = self._fetch(meter_type, raise_if_gone)
        fetch_seconds = time.monotonic() - started
        enter(Stage.VALIDATING_DATA)
        check_meter_count(len(usable), meter_type)
        enter(Stage.TRAINING_MODEL)
        started = time.monotonic()
        incoming = self._models.incoming_path()
        try:
            card = self._trainers.learn_base(
                BaseJob(meter_type=meter_type, meters=usable, skipped=skipped, artifact=incoming),
                on_progress=on_progress,
                raise_if_gone=raise_if_gone,
            )
            training_seconds = time.monotonic() - started
            enter(Stage.SAVING_MODEL)
            publication = self.bases.publish(incoming, meter_type)
        finally:
            incoming.unlink(missing_ok=True)
        path = publication.path.as_posix()
        details = _details(card, usable, path, fetch_seconds, training_seconds)
        message = f"Base of {len(card.meters)} {meter_type} meters learnt and saved at {path}"
        result = {"status": "success", "message": message, "details": details}
        return BuiltBase(publication=publication, result=result)

    def advice(self, meter: Meter) -> str | None:
        """Say how to get a base for a young meter's type, where the store could give one."""
        if self.bases.find(meter.meter_type) is not None:
            return None
        listed_at, old = self._old_meters.get(meter.meter_type, (-math.inf, []))
        if time.monotonic() - listed_at > _LISTING_KEPT_S:
            listed = self._meters.list_meters(meter.meter_type)
            old = [summary.meter for summary in listed if _may_be_old_enough(summary)]
            self._old_meters[meter.meter_type] = (time.monotonic(), old)
        others = len(old) - (meter in old)
        if others < _WORTH_A_BASE:
            return None
        return (
            f"Up to {others} other {meter.meter_type} meters could teach this one more than the "
            'built-in sample: POST /trainmodel/base {"meter_type": "' + meter.meter_type + '"}, '
            "then train it again."
        )

    def _fetch(
        self, meter_type: str, raise_if_gone: Callable[[], None]
    ) -> tuple[list[BaseMeter], dict[str, str]]:
        """Return at most ``max_meters`` usable meters and why others were left out."""
        usable: list[BaseMeter] = []
        skipped: dict[str, str] = {}
        meters = [summary.meter for summary in self._meters.list_meters(meter_type)]
        for meter in sorted(meters, key=_by_lot):
            if len(usable) == self._max_meters:
                break
            raise_if_gone()
            try:
                usable.append(self._read(meter))
            except (NoDataFound, InsufficientData, DataQualityError) as error:
                skipped[str(meter)] = error.message
        logger.info("Histories read", usable=len(usable), skipped=len(skipped))
        return usable, skipped

    def _read(self, meter: Meter) -> BaseMeter:
        summary = self._meters.describe(meter, counted=False)
        last = summary.last_reading
        readings = self._meters.read_history(
            meter,
            start=last - self._history if last else None,
            whole_hours_before=last - FINE_READINGS if last else None,
        )
        hourly = to_hourly(readings, summary.profile.reading_kind)
        found = validate_history(hourly, summary.profile)
        if found.days < BASE_METER_NEEDS_DAYS:
            raise InsufficientData(
                f"{found.days:.0f} days of history; a base learns from {BASE_METER_NEEDS_DAYS}.",
                have_days=round(found.days, 2),
                need_days=BASE_METER_NEEDS_DAYS,
            )
        return BaseMeter(meter=meter, profile=summary.profile, history=hourly)


def _by_lot(meter: Meter) -> str:
    """Order meters as if by lot, the same each time: neighbours in the list may be alike."""
    return hashlib.sha256(str(meter).encode()).hexdigest()


def _may_be_old_enough(summary: MeterSummary) -> bool:
    if summary.last_reading is None:
        return False
    if summary.first_reading is None:
        return True  # the store did not look
    return summary.last_reading - summary.first_reading >= timedelta(days=BASE_METER_NEEDS_DAYS)


def _details(
    card: BaseCard,
    usable: list[BaseMeter],
    path: str,
    fetch_seconds: float,
    training_seconds: float,
) -> dict[str, Any]:
    return {
        "meter_type": card.meter_type,
        "meters": len(card.meters),
        "meters_skipped": len(card.skipped),
        "skipped": dict(list(card.skipped.items())[:_SKIPPED_SHOWN]),
        "data_points": sum(len(each.history) for each in usable),
        "model_path": path,
        "training_completed": datetime.now(UTC).isoformat(),
        "data_fetch_time_seconds": round(fetch_seconds, 3),
        "training_time_seconds": round(training_seconds, 3),
        "model_version": card.version,
        "mase": card.mase,
        "naive_mase": card.naive_mase,
        "skill": card.skill,
    }
