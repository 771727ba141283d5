"""Hours divided into parts: an hourly forecast brought to 5, 15 or 30 minutes, top-down.

An hour's parts follow the line through the neighbouring hours and the meter's own habit within
that hour of the week, learnt from its recent fine readings. Line, habit of the hour of day and
habit of the hour of week each count as far as they helped in weeks that they had not seen
(stacking, Wolpert 1992). So the parts of an hour always add up (rates: average) to its median.
An interval widens by what parts do within their hour: both errors are taken as independent, so
distances from the median add in quadrature.

It cannot tell when within an hour a single event falls; it says how large it may be.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InsufficientData
from energy_forecasting.domain.forecasts import Forecast
from energy_forecasting.domain.readings import HOUR, History, Timestamps, Values
from energy_forecasting.domain.resolutions import HOUR_S
from energy_forecasting.forecasting.calibration import normal_tails
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.levels import at_levels
from energy_forecasting.forecasting.seasonal_naive import residual_quantiles

#: Whole hours of fine readings without which an hour's habit is not known.
NEEDED_HOURS = HOURS_PER_WEEK

#: A part that departs further than so many times the usual departure is a spike: cut.
_SPIKE_FACTOR = 4.0

_TINY = 1e-12

_THURSDAY, _SATURDAY, _SUNDAY = 3, 5, 6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HourShape:
    """How a meter's hours divide into m parts; values are rates, per hour."""

    calendar: LocalCalendar
    line_weight: float  #: 0 to 1, how far the parts follow the line through the neighbours
    habit: Values  #: [168, m] by hour of week, shares of the hour's mean; each row sums to 0
    noise: Values  #: [2, 24, 9] quantiles of what remains, by day of rest and hour of day, in
    #: units of the hour's mean plus ``level``: half of it grows with consumption, half does not
    level: float  #: usual mean
    non_negative: bool

    @classmethod
    def learn(
        cls,
        readings: History,
        *,
        parts: int,
        calendar: LocalCalendar,
        adds_up: bool,
        non_negative: bool,
    ) -> Self:
        """Learn from recent readings; six weeks are plenty.

        Args:
            readings: on steps of the parts' length (see ``domain.aggregation.to_steps``).
            parts: m, of an hour; at least 2.
            calendar: the meter's.
            adds_up: whether readings are amounts, not rates.
            non_negative: whether the meter never falls below zero.

        Raises:
            InsufficientData: fewer than a week of hours have all of their parts.
        """
        hours, rates = _by_hour(readings, parts, adds_up=adds_up)
        mean = rates.mean(axis=1)
        known = np.flatnonzero(np.isfinite(mean))
        if len(known) < NEEDED_HOURS:
            raise InsufficientData(
                f"Only {len(known)} of the recent hours have readings every {60 // parts} "
                f"minutes; at least {NEEDED_HOURS} are needed to forecast so finely. Ask for "
                "hours instead.",
                have_hours=len(known),
                need_hours=NEEDED_HOURS,
            )
        line = _line(mean, parts, non_negative=non_negative)[known]
        hour_of_week = _hour_of_week(hours, calendar)[known]
        hour_of_day, week = hour_of_week % HOURS_PER_DAY, known // HOURS_PER_WEEK
        mean, rates = mean[known], rates[known]
        departure = rates - mean[:, None]

        line_weight = _helpfulness(line, departure)
        rest = _without_spikes(departure - line_weight * line, hour_of_day)
        by_day, unseen_by_day = _shares(rest, mean, hour_of_day, week, HOURS_PER_DAY)
        by_week, unseen_by_week = _shares(rest, mean, hour_of_week, week, HOURS_PER_WEEK)
        level = np.abs(mean)[:, None]
        usual = float(level.mean())
        day_weight = _helpfulness(level * unseen_by_day, rest)
        rest = rest - day_weight * level * unseen_by_day
        week_weight = _helpfulness(level * (unseen_by_week - unseen_by_day), rest)

        each_day = np.tile(by_day, (7, 1))
        unseen = day_weight * unseen_by_day + week_weight * (unseen_by_week - unseen_by_day)
        fitted = _divided(mean, line_weight * line + level * unseen, non_negative=non_negative)
        return cls(
            calendar=calendar,
            line_weight=line_weight,
            habit=day_weight * each_day + week_weight * (by_week - each_day),
            noise=_noise((rates - fitted) / np.maximum(level + usual, _TINY), hour_of_week),
            level=usual,
            non_negative=non_negative,
        )

    def divide(self, forecast: Forecast, *, before: float | None, adds_up: bool) -> Forecast:
        """Divide the hours of a forecast.

        Args:
            forecast: n consecutive hours.
            before: the hour before them; None when it is not known.
            adds_up: whether values are amounts, not rates.

        Returns:
            n * m parts with the same levels.
        """
        count, parts = len(forecast.timestamps), self.habit.shape[1]
        median = forecast.median
        start = median[:1] if before is None else np.array([before])
        line = _line(np.concatenate([start, median]), parts, non_negative=self.non_negative)[1:]
        hour_of_week = _hour_of_week(forecast.timestamps, self.calendar)
        departure = self.line_weight * line + np.abs(median)[:, None] * self.habit[hour_of_week]
        middle = _divided(median, departure, non_negative=self.non_negative)

        share = np.ones_like(middle)
        np.divide(middle, median[:, None], out=share, where=median[:, None] > 0)
        of_hour = (forecast.quantiles - median[:, None])[:, None, :] * share[:, :, None]
        table = self.noise[_is_rest(hour_of_week), hour_of_week % HOURS_PER_DAY]
        unit = (np.abs(median) + self.level)[:, None, None]
        noise = at_levels(
            table, forecast.levels, leads=np.zeros(count, dtype=np.int64), tails=normal_tails()
        )
        of_part = noise[:, None, :] * unit
        # A hair on one side of the median may carry the sign of the other: the noise decides.
        side = np.sign(np.asarray(forecast.levels) - 0.5)
        quantiles = middle[:, :, None] + side * np.hypot(of_hour, of_part)
        if self.non_negative:
            quantiles = np.maximum(quantiles, 0.0)
        divisor = parts if adds_up else 1
        return replace(
            forecast,
            timestamps=_parts_of(forecast.timestamps, parts),
            quantiles=quantiles.reshape(count * parts, -1) / divisor,
            median=middle.reshape(-1) / divisor,
            sighted=np.repeat(forecast.sighted, parts),
        )


def _parts_of(hours: Timestamps, parts: int) -> Timestamps:
    offsets = np.arange(parts) * np.timedelta64(HOUR_S // parts, "s")
    return np.asarray((hours[:, None] + offsets).reshape(-1))


def _by_hour(readings: History, parts: int, *, adds_up: bool) -> tuple[Timestamps, Values]:
    """Return all hours from the first to the last one, [n], and their parts' rates, [n, m]."""
    if not len(readings):
        return readings.timestamps, np.empty((0, parts))
    step = readings.timestamps.astype("datetime64[s]").astype(np.int64) // (HOUR_S // parts)
    first = int(step[0]) // parts
    count = int(step[-1]) // parts - first + 1
    rates = np.full(count * parts, np.nan)
    rates[step - first * parts] = readings.consumption * (parts if adds_up else 1)
    hours = ((first + np.arange(count)) * HOUR_S).astype("datetime64[s]")
    return hours, rates.reshape(count, parts)


def _hour_of_week(hours: Timestamps, calendar: LocalCalendar) -> Hours:
    """Return the local hour of week, Monday 0; a holiday is a Sunday."""
    local = calendar.wall_clock(hours)
    days = local.astype("datetime64[D]")
    each, where = np.unique(days, return_inverse=True)
    holiday = calendar.is_holiday(each.tolist())[where]
    weekday = np.where(holiday, _SUNDAY, (days.astype(np.int64) + _THURSDAY) % 7)
    hour = (local - days) // HOUR
    return np.asarray(weekday * HOURS_PER_DAY + hour.astype(np.int64))


def _is_rest(hour_of_week: Hours) -> Hours:
    return np.asarray((hour_of_week >= _SATURDAY * HOURS_PER_DAY).astype(np.int64))


def _line(mean: Values, parts: int, *, non_negative: bool) -> Values:
    """Return the departures on the line through each hour's neighbours, [n, m]; rows sum to 0."""
    ends = np.concatenate([[np.nan], mean, [np.nan]])
    before = np.where(np.isfinite(ends[:-2]), ends[:-2], mean)
    after = np.where(np.isfinite(ends[2:]), ends[2:], mean)
    slope = (after - before) / 2.0
    if non_negative:
        slope = np.clip(slope, -2.0 * mean, 2.0 * mean)
    return np.asarray(slope[:, None] * ((np.arange(parts) + 0.5) / parts - 0.5))


def _helpfulness(guess: Values, actual: Values) -> float:
    """Return the weight, 0 to 1, with which a guess explains most."""
    power = float((guess * guess).sum())
    return float(np.clip((guess * actual).sum() / power, 0.0, 1.0)) if power > 0 else 0.0


def _without_spikes(departure: Values, hour_of_day: Hours) -> Values:
    """Cut what is far beyond the usual at that hour of day; rows sum to 0 again, [n, m]."""
    size = np.abs(departure).mean(axis=1)
    total = np.bincount(hour_of_day, weights=size, minlength=HOURS_PER_DAY)
    usual = total / np.maximum(np.bincount(hour_of_day, minlength=HOURS_PER_DAY), 1)
    limit = _SPIKE_FACTOR * usual[hour_of_day][:, None]
    cut = np.clip(departure, -limit, limit)
    return np.asarray(cut - cut.mean(axis=1, keepdims=True))


def _shares(
    departure: Values, mean: Values, cell: Hours, week: Hours, cells: int
) -> tuple[Values, Values]:
    """Return the mean departure per unit of the hour's mean: by cell, and unseen, for each hour.

    The unseen one of an hour comes from the other weeks, [n, m].
    """
    place = week * cells + cell
    weeks = int(week.max()) + 1

    def summed(values: Values) -> Values:
        flat = np.bincount(place, weights=values, minlength=weeks * cells)
        return np.asarray(flat.reshape(weeks, cells))

    above = np.stack([summed(column) for column in departure.T], axis=-1)
    below = summed(np.abs(mean))[:, :, None]
    by_cell = _ratio(above.sum(axis=0), below.sum(axis=0))
    unseen = _ratio(above.sum(axis=0) - above, below.sum(axis=0) - below)
    return by_cell, unseen[week, cell]


def _ratio(above: Values, below: Values) -> Values:
    out = np.zeros(np.broadcast_shapes(above.shape, below.shape))
    # What is left of a sum after subtracting all of it is rounding, not consumption.
    return np.asarray(np.divide(above, below, out=out, where=below > 1e-9 * below.max(initial=0)))


def _divided(mean: Values, departure: Values, *, non_negative: bool) -> Values:
    """Return the parts' rates, [n, m]; each row's mean is the hour's."""
    rates = mean[:, None] + departure
    if not non_negative:
        return np.asarray(rates)
    rates = np.maximum(rates, 0.0)
    level = rates.mean(axis=1, keepdims=True)
    factor = np.ones_like(level)
    np.divide(mean[:, None], level, out=factor, where=level > 0)
    return np.asarray(rates * factor)


def _noise(remaining: Values, hour_of_week: Hours) -> npt.NDArray[np.float64]:
    """Return [2, 24, 9] quantiles of [n, m] remains; a kind of day never seen takes the other's."""
    values = remaining.reshape(-1)
    hours = np.repeat(hour_of_week, remaining.shape[1])
    rest = _is_rest(hours)
    tables = []
    for kind in (0, 1):
        chosen = rest == kind if (rest == kind).any() else slice(None)
        tables.append(residual_quantiles(values[chosen], hours[chosen] % HOURS_PER_DAY))
    return np.stack(tables)
