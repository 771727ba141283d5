"""An hourly forecast and its history brought to the steps of an answer.

Coarser: the hours of a long reading are equal, so each of its hours forecasts the same quantity
and the step's quantile is their mean, times the step's hours where amounts add up. That holds
only for a meter that is read in such steps. Finer: see ``disaggregation``.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from energy_forecasting.domain.aggregation import to_steps
from energy_forecasting.domain.cadence import Cadence, over_steps
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.forecasts import Forecast
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.readings import (
    HOUR,
    History,
    Timestamps,
    Values,
    to_datetime,
    to_datetime64,
)
from energy_forecasting.domain.resolutions import FINE_READINGS, HOUR_S
from energy_forecasting.forecasting.disaggregation import HourShape
from energy_forecasting.forecasting.explaining.explanation import Explanation

_AN_HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepper:
    """Brings one meter's hours to the steps of an answer."""

    steps: Cadence  #: those of the meter's readings, or up to an hour and not finer than them
    kind: ReadingKind
    card: ModelCard

    def bring(
        self, forecast: Forecast, *, readings: History, history: History
    ) -> tuple[History, Forecast]:
        """Return history and forecast in the answer's steps.

        Args:
            forecast: hourly, from the start of a step or, for finer steps, of an hour on.
            readings: recent ones, as the store gave them.
            history: the same, hourly, before the forecast.

        Raises:
            InsufficientData: too few fine readings to divide hours.
        """
        if self.steps.step > _AN_HOUR:
            return self._longer_history(history), self._longer(forecast)
        if self.steps.step == _AN_HOUR:
            return history, forecast
        step_s = int(self.steps.step.total_seconds())
        # A store may have added up what lies further back.
        fine = to_steps(readings.since(readings.last - FINE_READINGS), self.kind, step_s)
        shape = HourShape.learn(
            fine,
            parts=HOUR_S // step_s,
            calendar=LocalCalendar(timezone=self.card.timezone, country=self.card.country),
            adds_up=self._adds_up,
            non_negative=self.card.non_negative,
        )
        return fine, shape.divide(forecast, before=_last(history, forecast), adds_up=self._adds_up)

    def bring_explanation(self, explanation: Explanation, hours: Timestamps) -> Explanation:
        """Return the parts of consecutive hours in the answer's steps.

        Raises:
            InvalidRequest: the steps are shorter than an hour; the model knows hours.
        """
        if self.steps.step == _AN_HOUR:
            return explanation
        if self.steps.step < _AN_HOUR:
            raise InvalidRequest(
                "explain takes hours apart, not parts of them; leave resolution_minutes out.",
                field="explain",
            )
        starts, ends = step_bounds(hours, self.steps)
        values = over_steps(
            hours,
            np.column_stack(list(explanation.parts.values())),
            starts,
            ends,
            adds_up=self._adds_up,
        )
        return replace(explanation, parts=dict(zip(explanation.parts, values.T, strict=True)))

    @property
    def _adds_up(self) -> bool:
        return self.kind is not ReadingKind.POWER

    def _longer(self, forecast: Forecast) -> Forecast:
        starts, ends = step_bounds(forecast.timestamps, self.steps)
        values = np.column_stack([forecast.median, forecast.quantiles])
        values = over_steps(forecast.timestamps, values, starts, ends, adds_up=self._adds_up)
        sighted = over_steps(
            forecast.timestamps,
            forecast.sighted[:, None].astype(np.float64),
            starts,
            ends,
            adds_up=False,
        )
        return replace(
            forecast,
            timestamps=starts,
            median=values[:, 0],
            quantiles=values[:, 1:],
            sighted=sighted[:, 0] > 0,
        )

    def _longer_history(self, history: History) -> History:
        if not len(history):
            return history
        starts, ends = step_bounds(history.timestamps, self.steps)
        values = np.column_stack([history.consumption, history.temperature])
        consumption, temperature = (
            over_steps(history.timestamps, column[:, None], starts, ends, adds_up=adds_up)[:, 0]
            for column, adds_up in zip(values.T, (self._adds_up, False), strict=True)
        )
        return History(timestamps=starts, consumption=consumption, temperature=temperature)


def level_over_steps(degrees: Values, horizon: Horizon, steps: Cadence) -> Values:
    """Return the temperature of a horizon's hours as long steps see it: their mean."""
    if steps.step <= _AN_HOUR:
        return degrees
    hours = to_datetime64(horizon.origin) + np.arange(horizon.hours) * HOUR
    starts, ends = step_bounds(hours, steps)
    means = over_steps(hours, degrees[:, None], starts, ends, adds_up=False)[:, 0]
    return np.asarray(means[np.searchsorted(starts, hours, side="right") - 1])


def step_bounds(hours: Timestamps, steps: Cadence) -> tuple[Timestamps, Timestamps]:
    """Return start and end of each step that some hours touch, ascending."""
    first = steps.start_of(to_datetime(hours[0]))
    beyond = steps.next_start(to_datetime(hours[-1]))
    starts = steps.starts(first, beyond)
    return starts, np.append(starts[1:], to_datetime64(beyond))


def _last(history: History, forecast: Forecast) -> float | None:
    """Return the hour before a forecast, if it is known."""
    if not len(history) or history.timestamps[-1] != forecast.timestamps[0] - HOUR:
        return None
    last = float(history.consumption[-1])
    return last if np.isfinite(last) else None
