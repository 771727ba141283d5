"""What the readings since its training teach about a model: how to adapt it, how it has done.

The same readings always teach the same, in every process; a small memory per model saves doing it
again for every forecast between two readings.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from threading import Lock

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, TemperatureSource
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.monitoring import LiveRecord, LiveScore
from energy_forecasting.domain.readings import History, Values
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.evaluation import Weights
from energy_forecasting.forecasting.grid import Flags
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.live.adaptive_calibration import Adaptation, adapt
from energy_forecasting.forecasting.live.replay import (
    Replay,
    replay,
    replay_hour,
    replayed_readings,
)

#: Days before the origin that a record covers.
MONITORED_DAYS = 28

_REMEMBERED = 4

_MEDIAN = QUANTILE_LEVELS.index(0.5)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Live:
    """What one replay teaches."""

    adaptation: Adaptation
    record: LiveRecord | None  #: None where nothing could be scored


_NOTHING = Live(adaptation=Adaptation.none(), record=None)


class LiveCalibration:
    """Replays one model; safe to share between threads."""

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        self._card = card
        self._weights = weights
        self._lock = Lock()
        self._remembered: OrderedDict[tuple[datetime, TemperatureSource, bytes], Live] = (
            OrderedDict()
        )

    def at(self, history: History, origin: datetime, source: TemperatureSource) -> Live:
        """Return what the readings between the training's end and an origin teach.

        Args:
            history: hourly readings, from ``replay_needs_from`` on if there are any.
            origin: a whole hour; readings from it on are not looked at.
            source: which ensemble answers.
        """
        readings = replayed_readings(self._card, history, origin)
        if readings is None:
            return _NOTHING
        key = (origin, source, _fingerprint(readings))
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        live = self._replayed(readings, origin, source)
        with self._lock:
            self._remembered[key] = live
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return live

    def _replayed(self, readings: History, origin: datetime, source: TemperatureSource) -> Live:
        past = replay(self._card, self._weights, readings, origin, source)
        # The seasonal naive answers with last week's value, not with one near it.
        moves = self._card.method is not ForecastMethod.SEASONAL_NAIVE
        adaptation, served = adapt(past.quantiles, past.actual, moves_median=moves)
        # Learnt by the hours since each origin, applied by the hour of day.
        hour = replay_hour(self._card, origin)
        adaptation = replace(adaptation, shift=np.roll(adaptation.shift, hour, axis=1))
        if self._card.non_negative:
            served = np.maximum(served, 0.0)
            past = replace(past, quantiles=np.maximum(past.quantiles, 0.0))
        return Live(adaptation=adaptation, record=_record(past, served))


def _record(past: Replay, served: Values) -> LiveRecord | None:
    lead = np.arange(past.actual.shape[1])
    first_target = (len(past.actual) - MONITORED_DAYS) * HOURS_PER_DAY
    target = np.arange(len(past.actual))[:, None] * HOURS_PER_DAY + lead
    scored = np.isfinite(past.actual) & (target >= first_target)
    first_day = _score(past, served, scored & (lead < HOURS_PER_DAY))
    if first_day is None:
        return None
    lost = np.abs(past.actual - served[..., _MEDIAN]) - np.abs(past.actual - past.naive)
    lost_by_day = np.where(scored, lost, 0.0)[:, :HOURS_PER_DAY].sum(axis=1)
    return LiveRecord(
        scored_days=int(scored[:, :HOURS_PER_DAY].any(axis=1).sum()),
        worse_days=int((lost_by_day > 0).sum()),
        first_day=first_day,
        later_days=_score(past, served, scored & (lead >= HOURS_PER_DAY)),
    )


def _score(past: Replay, served: Values, scored: Flags) -> LiveScore | None:
    if not scored.any():
        return None
    actual, now, before = past.actual[scored], served[scored], past.quantiles[scored]
    error = metrics.mase(actual, now[:, _MEDIAN], 1.0)
    naive_error = metrics.mase(actual, past.naive[scored], 1.0)
    return LiveScore(
        hours=len(actual),
        coverage80=metrics.coverage(actual, now[:, 0], now[:, -1]),
        coverage80_unadapted=metrics.coverage(actual, before[:, 0], before[:, -1]),
        error=error,
        naive_error=naive_error,
        error_to_naive=error / naive_error if naive_error > 0 else None,
    )


def _fingerprint(readings: History) -> bytes:
    digest = blake2b(digest_size=16)
    for column in (readings.timestamps, readings.consumption, readings.temperature):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.digest()
