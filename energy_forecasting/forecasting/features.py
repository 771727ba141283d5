"""What the network sees of a meter: one row per forecast origin and lead.

The lead is the number of local hours from the origin to the hour that is forecast. Consumption
enters as differences to ``base``, the mean of the same hour of week in the last four known
weeks, in units of ``scale``; so the network learns the departure from habit. A holiday counts
as a Sunday. There is no day of year on purpose: a year of history cannot teach it, and it cost
3 % of accuracy. Every value is known at the origin, except the temperature ahead, which is
passed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK

#: Hours before the origin that the features look at: four weeks, and a day for trailing means.
LOOKBACK_HOURS = 29 * HOURS_PER_DAY

#: Where heating begins and cooling begins, in degrees Celsius.
_HEATING_BELOW = 15.0
_COOLING_ABOVE = 20.0

_SMALLEST_STD = 1e-6

_SUNDAY = 6
_SATURDAY = 5

#: The last features of a signature, where temperature is used.
TEMPERATURE_FEATURES = (
    "temperature",
    "temperature_squared",
    "temperature_24h",
    "temperature_72h",
    "temperature_24h_squared",
    "temperature_to_weeks",
    "temperature_to_week_1",
    "temperature_to_day_1",
    "temperature_24h_to_week_1",
    "temperature_24h_to_day_1",
    "temperature_24h_to_weeks",
    "temperature_24h_to_weeks_x_24h",
    "heating_degrees",
    "cooling_degrees",
)

#: Hours before the origin over which surprises are averaged, and in how many hours of lead those
#: means fade that matter less and less.
_SURPRISE_HOURS = (24, 72, 240)
_SURPRISE_FADES_IN = {3: 6.0, 6: 6.0, 24: 72.0, 72: 168.0}

#: The same for the surprises at the same hour of the last days.
_SURPRISE_DAYS = (3, 10)
_FADING_DAYS, _DAYS_FADE_IN = 3, 72.0

SURPRISE_FEATURES = (
    *(f"unexpected_{hours}h" for hours in _SURPRISE_HOURS),
    *(f"unexpected_{hours}h_fading" for hours in _SURPRISE_FADES_IN),
    *(f"unexpected_{days}_days" for days in _SURPRISE_DAYS),
    f"unexpected_{_FADING_DAYS}_days_fading",
)

#: Ends the name of such a feature where temperature was known to the model that was surprised.
SIGHTED_SUFFIX = "_for_temperature"

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class TemperatureScale:
    """Brings degrees Celsius to mean 0 and deviation 1."""

    mean: float
    std: float

    @classmethod
    def of(cls, degrees: Values) -> Self:
        """Measure the scale on a history's temperature, [n] without NaN."""
        return cls(mean=float(np.mean(degrees)), std=float(np.std(degrees)) + _SMALLEST_STD)

    def standardise(self, degrees: Values) -> Values:
        """Return standard units."""
        return (degrees - self.mean) / self.std


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Surprises:
    """How far each past hour departed from what a day-ahead model expected (``expectation.py``)."""

    blind: Values  #: [n] in units of scale; 0 where unknown
    sighted: Values | None  #: [n] by the model that knows temperature; None when it is not used


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureRows:
    """Features of every combination of n origins and m leads."""

    names: tuple[str, ...]  #: the f features, in order: the signature of a model's input
    values: Rows  #: [n, m, f]
    base: Values  #: [n, m] same hour of week, mean of four weeks, in the meter's unit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _LastKnown:
    """An hourly series as it is known at each origin: periods before it, repeated over leads."""

    series: Values  #: [hours]
    origins: Hours  #: [n]
    leads: int

    def week(self, weeks_ago: int = 1, *, shift: int = 0) -> Values:
        """Same hour of week, so many known weeks ago, [n, leads]; shift starts hours later."""
        return self._repeat(HOURS_PER_WEEK, weeks_ago, shift)

    def day(self, days_ago: int = 1, *, shift: int = 0) -> Values:
        """Same hour of day, so many known days ago, [n, leads]; shift starts hours later."""
        return self._repeat(HOURS_PER_DAY, days_ago, shift)

    def four_weeks(self, *, shift: int = 0) -> Values:
        """Mean of the same hour of week in the last four weeks, [n, leads]."""
        weeks = [self.week(ago, shift=shift) for ago in (1, 2, 3, 4)]
        return np.asarray(np.mean(weeks, axis=0))

    def next_hour_of_week(self) -> Values:
        """The known hour of week that follows each one, [n, leads]."""
        hours = (np.arange(self.leads) + 1) % HOURS_PER_WEEK
        return np.asarray(self.series[self.origins[:, None] - HOURS_PER_WEEK + hours])

    def _repeat(self, period: int, periods_ago: int, shift: int) -> Values:
        starts = self.origins - period * periods_ago + shift
        return np.asarray(self.series[starts[:, None] + np.arange(self.leads) % period])


def build_features(
    grid: LocalGrid,
    origins: Hours,
    leads: int,
    *,
    scale: float,
    temperature_ahead: Values | None = None,
    temperature_scale: TemperatureScale | None = None,
    surprises: Surprises | None = None,
) -> FeatureRows:
    """Build the rows of all origins and leads.

    Args:
        grid: the history; only hours before each origin are looked at.
        origins: [n] grid hours, each at least LOOKBACK_HOURS.
        leads: m, how many hours from the origin on.
        scale: of the meter, in its unit.
        temperature_ahead: [n, m] degrees Celsius of the hours forecast; None builds the features
            without temperature.
        temperature_scale: needed with ``temperature_ahead``.
        surprises: of the grid's hours; None builds what the day-ahead model itself sees.
    """
    level = _LastKnown(series=grid.filled, origins=origins, leads=leads)
    base = level.four_weeks()
    features = _consumption_features(grid.filled, level, base, scale)
    features |= _calendar_features(grid, origins, leads)
    if surprises is not None:
        features |= _surprise_features(surprises.blind, origins, leads)
    if temperature_ahead is not None and temperature_scale is not None:
        features |= _temperature_features(grid, origins, temperature_ahead, temperature_scale)
        if surprises is not None and surprises.sighted is not None:
            sighted = _surprise_features(surprises.sighted, origins, leads)
            features |= {f"{name}{SIGHTED_SUFFIX}": value for name, value in sighted.items()}
    return FeatureRows(
        names=tuple(features), values=_stack(features, (len(origins), leads)), base=base
    )


def temperature_rows(
    grid: LocalGrid, origins: Hours, ahead: Values, scale: TemperatureScale
) -> Rows:
    """Build TEMPERATURE_FEATURES alone, [n, m, 14], for origins [n] and degrees ahead [n, m]."""
    return _stack(_temperature_features(grid, origins, ahead, scale), ahead.shape)


def _consumption_features(
    series: Values, known: _LastKnown, base: Values, scale: float
) -> dict[str, Values]:
    def departure(value: Values) -> Values:
        return (value - base) / scale

    days = [known.day(ago) for ago in range(1, 8)]
    features = {
        "base": base / scale,
        "week_1": departure(known.week(1)),
        "week_2": departure(known.week(2)),
        "week_3": departure(known.week(3)),
        "week_1_next_hour": departure(known.next_hour_of_week()),
        "week_1_previous_hour": departure(known.week(1, shift=-1)),
    }
    features |= {f"day_{ago}": departure(day) for ago, day in enumerate(days, start=1)}
    features |= {
        "days_median": departure(np.median(days, axis=0)),
        "days_mean": departure(np.mean(days, axis=0)),
    }

    origins = known.origins
    mean_24h = trailing_mean(series, 24)
    week_level = trailing_mean(series, 168)[origins]
    features |= {
        "level_day_to_week": _column(mean_24h[origins] - week_level) / scale,
        "level_week_to_month": _column(week_level - trailing_mean(series, 672)[origins]) / scale,
        "level_day_before_to_week": _column(mean_24h[origins - 24] - week_level) / scale,
    }

    surprise = _surprise(series) / scale
    features |= {
        f"surprise_{hours}h": _column(trailing_mean(surprise, hours)[origins])
        for hours in (1, 3, 6, 24, 168)
    }
    fading = np.exp(-np.arange(known.leads) / 6.0)
    features |= {
        f"surprise_{hours}h_fading": features[f"surprise_{hours}h"] * fading for hours in (1, 3)
    }
    return features


def _calendar_features(grid: LocalGrid, origins: Hours, leads: int) -> dict[str, Values]:
    ahead = np.arange(leads)
    target = origins[:, None] + ahead
    angle = 2.0 * np.pi * (target % HOURS_PER_DAY) / HOURS_PER_DAY
    holiday = grid.holiday[target]
    weekday = np.where(holiday, _SUNDAY, grid.weekday[target])
    weekend = (weekday >= _SATURDAY).astype(np.float64)
    known_holiday = _LastKnown(series=grid.holiday.astype(np.float64), origins=origins, leads=leads)
    last_weeks = [known_holiday.week(ago) for ago in (1, 2, 3)]

    features: dict[str, Values] = {}
    for harmonic in (1, 2, 3):
        features[f"hour_sin_{harmonic}"] = np.sin(harmonic * angle)
        features[f"hour_cos_{harmonic}"] = np.cos(harmonic * angle)
    features |= {f"weekday_{day}": (weekday == day).astype(np.float64) for day in range(7)}
    features |= {
        "holiday": holiday.astype(np.float64),
        "holiday_week_1": last_weeks[0],
        "holiday_day_1": known_holiday.day(1),
        "holiday_weeks_mean": np.asarray(np.mean(last_weeks, axis=0)),
    }
    for harmonic in (1, 2):
        features[f"weekend_hour_sin_{harmonic}"] = weekend * np.sin(harmonic * angle)
        features[f"weekend_hour_cos_{harmonic}"] = weekend * np.cos(harmonic * angle)
    features |= {
        "lead": ahead / HOURS_PER_WEEK,
        "lead_fading_24h": np.exp(-ahead / 24.0),
        "lead_fading_3h": np.exp(-ahead / 3.0),
    }
    return features


def _temperature_features(
    grid: LocalGrid, origins: Hours, ahead: Values, scale: TemperatureScale
) -> dict[str, Values]:
    leads = ahead.shape[1]
    past = scale.standardise(grid.filled_temperature)
    now = scale.standardise(ahead)
    known = _LastKnown(series=past, origins=origins, leads=leads)
    # The mean of the 24 hours that end with an hour is indexed by the hour after it.
    known_mean = _LastKnown(series=trailing_mean(past, 24), origins=origins, leads=leads)
    mean_24h = _mean_until(past, origins, now, 24)
    mean_departure = mean_24h - known_mean.four_weeks(shift=1)
    values = (
        now,
        now * now,
        mean_24h,
        _mean_until(past, origins, now, 72),
        mean_24h * mean_24h,
        now - known.four_weeks(),
        now - known.week(1),
        now - known.day(1),
        mean_24h - known_mean.week(1, shift=1),
        mean_24h - known_mean.day(1, shift=1),
        mean_departure,
        mean_departure * mean_24h,
        np.maximum(0.0, _HEATING_BELOW - ahead) / scale.std,
        np.maximum(0.0, ahead - _COOLING_ABOVE) / scale.std,
    )
    return dict(zip(TEMPERATURE_FEATURES, values, strict=True))


def _surprise_features(surprise: Values, origins: Hours, leads: int) -> dict[str, Values]:
    ahead = np.arange(leads)
    known = _LastKnown(series=surprise, origins=origins, leads=leads)
    # An hour and the one before it, so that a habit which comes a little later is still seen.
    daily = [
        0.75 * known.day(ago) + 0.25 * known.day(ago, shift=-1)
        for ago in range(1, max(_SURPRISE_DAYS) + 1)
    ]
    by_days = {days: np.asarray(np.mean(daily[:days], axis=0)) for days in _SURPRISE_DAYS}
    values = (
        *(_mean_before(surprise, origins, hours) for hours in _SURPRISE_HOURS),
        *(
            _mean_before(surprise, origins, hours) * np.exp(-ahead / fades_in)
            for hours, fades_in in _SURPRISE_FADES_IN.items()
        ),
        *by_days.values(),
        by_days[_FADING_DAYS] * np.exp(-ahead / _DAYS_FADE_IN),
    )
    return dict(zip(SURPRISE_FEATURES, values, strict=True))


def _stack(features: Mapping[str, Values], shape: tuple[int, ...]) -> Rows:
    """Stack features that broadcast to ``shape`` along a new last axis, float32."""
    rows = np.empty((*shape, len(features)), dtype=np.float32)
    for position, values in enumerate(features.values()):
        rows[..., position] = values
    return rows


def trailing_mean(series: Values, hours: int) -> Values:
    """Return the mean of the ``hours`` before each hour, [n + 1]; NaN where there are fewer.

    >>> trailing_mean(np.array([1.0, 3.0, 5.0]), 2)
    array([nan, nan,  2.,  4.])
    """
    total = np.concatenate([[0.0], np.cumsum(series)])
    means = np.full(len(total), np.nan)
    means[hours:] = (total[hours:] - total[:-hours]) / hours
    return means


def _mean_until(past: Values, origins: Hours, ahead: Values, hours: int) -> Values:
    """Mean of the ``hours`` that end with each hour ahead, across the origin, [n, m]."""
    before = past[origins[:, None] + np.arange(1 - hours, 0)]
    total = np.cumsum(np.concatenate([before, ahead], axis=1), axis=1)
    total = np.concatenate([np.zeros((len(origins), 1)), total], axis=1)
    return np.asarray((total[:, hours:] - total[:, :-hours]) / hours)


def _surprise(series: Values) -> Values:
    """Departure of each hour from the mean of the three weeks before it; 0 in the first three."""
    week = HOURS_PER_WEEK
    surprise = np.zeros(len(series))
    expected = (series[2 * week : -week] + series[week : -2 * week] + series[: -3 * week]) / 3.0
    surprise[3 * week :] = series[3 * week :] - expected
    return surprise


def _mean_before(series: Values, origins: Hours, hours: int) -> Values:
    """Mean of the ``hours`` before each origin, [n, 1]."""
    return _column(trailing_mean(series, hours)[origins])


def _column(values: Values) -> Values:
    """Turn [n] into [n, 1], which broadcasts over the leads."""
    return values[:, None]
