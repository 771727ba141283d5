"""Rolling origins: what each method may know at each origin, and how its forecasts are scored.

The last eight weeks of a meter are the test. A method learns once from what lies before and is
not refitted, unless its predictor does so from ``known_at``. Every method works on the product's
local grid, is asked at the same origins, and is scored on the same measured hours with the same
scale; hours without a reading are not scored. Forecasts of temperature are made up: the measured
one plus errors of a real forecast's size (``forecasting/temperature_error.py``), the same for every
method.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.data_set import Case
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import History, Values, to_datetime64
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.grid import MAX_LEADS, Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK, interpolate
from energy_forecasting.forecasting.temperature_error import draw_errors

TEST_DAYS = 56
HORIZONS = (24, MAX_HORIZON_HOURS)

_MEDIAN = QUANTILE_LEVELS.index(0.5)

#: Turns the grid hour of an origin into quantiles of ``Backtest.hours_ahead``, [168, 9].
Predictor = Callable[[int], Values]


class Setting(StrEnum):
    """What is known of temperature."""

    TEMP = "temp"  #: the past, and the measured temperature of the hours ahead
    FORECAST = "forecast"  #: the past, and a temperature ahead that errs as a weather forecast does
    RECENT = "recent"  #: the past only
    NOTEMP = "notemp"  #: nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Errors of one method on one meter, over all origins of a series."""

    horizon: int  #: hours
    origins: int  #: forecasts scored
    mase: float  #: in units of the seasonal naive's error on the training part
    wape: float  #: NaN when nothing was used
    crps: float  #: in the units of mase
    coverage80: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Backtest:
    """One meter under one setting."""

    case: Case
    setting: Setting
    grid: LocalGrid  #: the whole history, test included
    first_origin: int  #: grid hour, a local midnight
    history_weeks: int | None  #: of readings before the first origin; None when nothing is cut
    scale: float  #: mean |y(t) - y(t - 168 h)| before the first origin, in the meter's unit; of
    #: all that was measured there, so that the errors of cut histories compare

    @classmethod
    def of(cls, case: Case, setting: Setting, *, history_weeks: int | None = None) -> Self:
        """Cut off the last 56 whole local days, and what lies before some weeks before them."""
        if setting is Setting.NOTEMP:
            case = case.without_temperature()
        calendar = LocalCalendar(timezone=case.profile.timezone, country=case.profile.country)
        grid = LocalGrid.from_history(case.history, calendar)
        first = (len(grid) // HOURS_PER_DAY - TEST_DAYS) * HOURS_PER_DAY
        learnt = grid.consumption[:first]
        scale = float(np.nanmean(np.abs(learnt[HOURS_PER_WEEK:] - learnt[:-HOURS_PER_WEEK])))
        whole = cls(
            case=case,
            setting=setting,
            grid=grid,
            first_origin=first,
            history_weeks=history_weeks,
            scale=scale,
        )
        return (
            whole if history_weeks is None else whole._cut(first - history_weeks * HOURS_PER_WEEK)
        )

    @property
    def knows_temperature_ahead(self) -> bool:
        """Whether a forecast may use the temperature of the hours that it forecasts."""
        return self.setting in {Setting.TEMP, Setting.FORECAST}

    @property
    def non_negative(self) -> bool:
        """Whether no reading of the training part lies below zero."""
        return bool(np.nanmin(self.grid.consumption[: self.first_origin]) >= 0)

    @property
    def training_history(self) -> History:
        """The readings before the first origin."""
        return self.case.history.before(self.moment(self.first_origin))

    @property
    def training_grid(self) -> LocalGrid:
        """The hours before the first origin."""
        return self.known_at(self.first_origin)

    def moment(self, hour: int) -> datetime:
        """Return the UTC moment of a grid hour."""
        local: datetime = (self.grid.start + hour).astype("datetime64[s]").item()
        return local.replace(tzinfo=ZoneInfo(self.case.profile.timezone)).astimezone(UTC)

    def known_at(self, origin: int, *, days: int | None = None) -> LocalGrid:
        """Return the grid hours before an origin; from a local midnight on, ``days`` earlier."""
        first = 0 if days is None else max(0, origin // HOURS_PER_DAY - days) * HOURS_PER_DAY
        return replace(
            self.grid,
            start=self.grid.start + first,
            consumption=self.grid.consumption[first:origin],
            temperature=self.grid.temperature[first:origin],
        )

    def temperature_ahead(self, origin: int, hours: Hours) -> Values | None:
        """Return degrees Celsius of grid hours from an origin on, where the setting allows it.

        Gaps are filled. A forecast's errors depend on the meter and the origin alone.
        """
        if not self.knows_temperature_ahead:
            return None
        measured = interpolate(self.grid.temperature)[self._existing(hours)]
        if self.setting is Setting.TEMP:
            return measured
        seed = (zlib.crc32(str(self.case.meter).encode()), origin)
        errors = draw_errors(np.random.default_rng(seed), 1, MAX_LEADS)[0]
        return np.asarray(measured + errors[hours - origin])

    def hours_ahead(self, origin: int) -> Hours:
        """Return the grid hours of the 168 hours that follow an origin in real time.

        They differ from the next 168 grid hours only in the week of a clock change.
        """
        first = np.datetime64(self.moment(origin).replace(tzinfo=None), "s")
        step = np.timedelta64(3600, "s")
        return self.grid.hours_of(first + np.arange(MAX_HORIZON_HOURS) * step)

    def origins(self, origin_hour: int, every_days: int) -> range:
        """Return the grid hours of the origins at one hour of day."""
        end = len(self.grid) // HOURS_PER_DAY * HOURS_PER_DAY
        return range(self.first_origin + origin_hour, end, every_days * HOURS_PER_DAY)

    def accuracies(self, origins: range, forecasts: Mapping[int, Values]) -> Iterator[Accuracy]:
        """Score the forecasts of some origins, for each horizon that fits before the end."""
        for horizon in HORIZONS:
            scored = [origin for origin in origins if origin + horizon <= len(self.grid)]
            hours = [self._existing(self.hours_ahead(origin)[:horizon]) for origin in scored]
            actual = self.grid.consumption[np.concatenate(hours)]
            quantiles = np.concatenate([forecasts[origin][:horizon] for origin in scored])
            known = np.isfinite(actual)
            actual, quantiles = actual[known], quantiles[known]
            wape = metrics.wape(actual, quantiles[:, _MEDIAN])
            yield Accuracy(
                horizon=horizon,
                origins=len(scored),
                mase=metrics.mase(actual, quantiles[:, _MEDIAN], self.scale),
                wape=np.nan if wape is None else wape,
                crps=metrics.crps(actual, quantiles, QUANTILE_LEVELS) / self.scale,
                coverage80=metrics.coverage(actual, quantiles[:, 0], quantiles[:, -1]),
            )

    def forecast(self, predict: Predictor, origin: int) -> Values:
        """Ask a predictor; no method forecasts below zero what was never below it."""
        quantiles = predict(origin)
        return np.maximum(quantiles, 0.0) if self.non_negative else quantiles

    def in_real_time(self, origin: int, by_lead: Values) -> Values:
        """Turn quantiles of the next 168 grid hours into those of ``hours_ahead``."""
        return np.asarray(by_lead[(self.hours_ahead(origin) - origin) % MAX_HORIZON_HOURS])

    def _cut(self, first: int) -> Self:
        """Forget the readings before a grid hour, as if the meter had been installed then."""
        begins = to_datetime64(self.moment(max(first, 0)))
        history = self.case.history
        kept = history.timestamps >= begins
        unknown = np.arange(len(self.grid)) < first
        return replace(
            self,
            case=replace(
                self.case,
                history=History(
                    timestamps=history.timestamps[kept],
                    consumption=history.consumption[kept],
                    temperature=history.temperature[kept],
                ),
            ),
            grid=replace(
                self.grid,
                consumption=np.where(unknown, np.nan, self.grid.consumption),
                temperature=np.where(unknown, np.nan, self.grid.temperature),
            ),
        )

    def _existing(self, hours: Hours) -> Hours:
        return np.minimum(hours, len(self.grid) - 1)
