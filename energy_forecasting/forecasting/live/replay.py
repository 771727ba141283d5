"""Forecasts that a model would have given in the last weeks, beside what then happened.

One forecast from every local midnight, each from readings before it alone, of the hours after
the training's end: the model has learnt the others. Midnights, whatever hour is asked, because
they see every hour of the day once at each lead, and because the same past then answers
for a whole day of questions. A meter whose readings cover several hours is replayed from the hour
that is asked: a midnight may lie within a reading, which is not known before it ends. Nothing is
stored: readings that come late or in bulk count as if they had always been there.

It is not what was served at the time, when a reading may not have come yet. The ensemble that
uses temperature gets the measured one in place of a forecast, which flatters it. Midnights before
which too little is known are left out, and so are forecasts that are refused as absurd.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import History, Values, to_datetime64
from energy_forecasting.forecasting.evaluation import Weights
from energy_forecasting.forecasting.features import LOOKBACK_HOURS
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid, local_hour
from energy_forecasting.forecasting.imputation import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    impute_from_past,
)
from energy_forecasting.forecasting.model_quantiles import (
    RECENT_DAYS,
    is_absurd,
    week_quantiles,
)
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    week_ago,
)
from energy_forecasting.forecasting.temperature_ahead import TemperatureAhead

#: The oldest midnight that is replayed. What is older weighs little by the rates of adaptation.
REPLAY_DAYS = 60

#: Forecasts from so many days before the training's end reach beyond it.
_DAYS_BEFORE = MAX_HORIZON_HOURS // HOURS_PER_DAY - 1

_MINUTES_PER_HOUR = 60

_A_DAY = np.timedelta64(1, "D")
_AN_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Replay:
    """Forecasts from d consecutive local midnights or other hours, oldest first."""

    quantiles: Values  #: [d, 168, 9] calibrated in training, in the meter's unit
    actual: Values  #: [d, 168] NaN where it is unknown, was learnt, or must not judge
    naive: Values  #: [d, 168] last week's values as they were known at each midnight


def replayed_readings(card: ModelCard, history: History, origin: datetime) -> History | None:
    """Cut out the readings that a replay before an origin needs; None where there is nothing."""
    known = history.before(origin)
    if not len(known) or known.timestamps[-1] <= to_datetime64(card.data.last_reading):
        return None
    first = int(np.searchsorted(known.timestamps, to_datetime64(replay_needs_from(card, origin))))
    return History(
        timestamps=known.timestamps[first:],
        consumption=known.consumption[first:],
        temperature=known.temperature[first:],
    )


def replay_needs_from(card: ModelCard, origin: datetime) -> datetime:
    """Return the moment from which on a forecast from an origin, with its replay, reads."""
    learnt = card.data.last_reading - timedelta(days=_DAYS_BEFORE)
    earliest = min(origin, max(learnt, origin - timedelta(days=REPLAY_DAYS)))
    # Four days more: grids start at local midnights and follow the clock changes.
    return earliest - timedelta(days=RECENT_DAYS + 4)


def replay_hour(card: ModelCard, origin: datetime) -> int:
    """Return the local hour of day from which past forecasts are made again."""
    if card.resolution_minutes is None or card.resolution_minutes <= _MINUTES_PER_HOUR:
        return 0
    local = local_hour(origin, LocalCalendar(timezone=card.timezone, country=card.country))
    return int((local - local.astype("datetime64[D]")).astype(np.int64))


def replay(
    card: ModelCard,
    weights: Weights,
    readings: History,
    origin: datetime,
    source: TemperatureSource,
) -> Replay:
    """Forecast the last weeks before an origin again.

    Args:
        card: of the model.
        weights: as its artifact holds them.
        readings: as ``replayed_readings`` cuts them out, not empty.
        origin: a whole hour after the training's end.
        source: which ensemble is asked; REQUEST gets the temperature that was measured.
    """
    calendar = LocalCalendar(timezone=card.timezone, country=card.country)
    end = local_hour(origin, calendar)
    new_from = local_hour(card.data.last_reading, calendar) + _AN_HOUR
    first_day = max(
        new_from.astype("datetime64[D]") - _DAYS_BEFORE * _A_DAY,
        end.astype("datetime64[D]") - REPLAY_DAYS * _A_DAY,
    )
    start = (first_day - RECENT_DAYS * _A_DAY).astype("datetime64[h]")
    grid = LocalGrid.from_history(readings, calendar, start=start, end=end)
    first = RECENT_DAYS * HOURS_PER_DAY + replay_hour(card, origin)
    origins = np.arange(first, len(grid), HOURS_PER_DAY)
    targets = origins[:, None] + np.arange(MAX_HORIZON_HOURS)
    existing = np.minimum(targets, len(grid) - 1)

    may_judge = (targets < len(grid)) & (targets >= int((new_from - grid.start).astype(np.int64)))
    naive = week_ago(grid, targets)
    if card.method is ForecastMethod.SEASONAL_NAIVE:
        may_judge &= _known_from_past(grid, origins, HOURS_PER_WEEK)[:, None]
        by_hour = naive_quantiles(
            naive.ravel(), targets.ravel() % HOURS_PER_DAY, weights[RESIDUAL_QUANTILES]
        )
        quantiles = by_hour.reshape(*targets.shape, -1)
    else:
        may_judge &= _known_from_past(grid, origins, LOOKBACK_HOURS)[:, None]
        is_known = source is TemperatureSource.REQUEST
        if is_known:
            may_judge &= np.isfinite(grid.temperature[existing])
        ahead = [
            _temperature_ahead(card, grid, hour, is_known=is_known) for hour in origins.tolist()
        ]
        quantiles = week_quantiles(card, weights, grid, origins, ahead)
        may_judge &= ~is_absurd(card, quantiles)[:, None]
    return Replay(
        quantiles=quantiles,
        actual=np.where(may_judge, grid.consumption[existing], np.nan),
        naive=naive,
    )


def _temperature_ahead(
    card: ModelCard, grid: LocalGrid, origin: int, *, is_known: bool
) -> TemperatureAhead | None:
    """Return the temperature of the week from an origin on, as measured or as then expected."""
    if not card.uses_temperature:
        return None
    given = np.full(MAX_HORIZON_HOURS, np.nan)
    if is_known:
        measured = grid.temperature[origin : origin + MAX_HORIZON_HOURS]
        given[: len(measured)] = measured
    before = replace(
        grid, consumption=grid.consumption[:origin], temperature=grid.temperature[:origin]
    )
    leads = np.arange(MAX_HORIZON_HOURS)
    return TemperatureAhead.of(given, leads, before, trust=card.temperature_trust)


def _known_from_past(grid: LocalGrid, origins: Hours, hours: int) -> Flags:
    """Tell at which origins the gaps of the hours before were filled from the past alone, [n].

    Where nothing earlier is known, ``LocalGrid.filled`` takes a later value, which may lie after
    the origin.
    """
    unknown = ~np.isfinite(impute_from_past(grid.consumption))
    before = np.concatenate([[0], np.cumsum(unknown)])
    return np.asarray(before[origins] == before[origins - hours])
