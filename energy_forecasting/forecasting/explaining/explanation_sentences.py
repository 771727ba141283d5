"""An explanation in plain sentences, made from its numbers; what is negligible is left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from math import floor, log10
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.explaining.circumstances import Circumstances
from energy_forecasting.forecasting.explaining.explanation import RECENT_ERRORS, USUAL_WEEK, Parts
from energy_forecasting.forecasting.explaining.feature_groups import (
    RECENT_CONSUMPTION,
    FeatureGroup,
)
from energy_forecasting.forecasting.grid import Flags

#: A mean effect below this share of what last week's value is usually wrong by is not told.
NEGLIGIBLE = 0.1

#: After the first sentence, so many causes are told, the strongest first.
MOST_CAUSES = 3

#: The day of the greatest effect is named when it has so many times the mean effect.
_STANDS_OUT = 2.0

#: A forecast may begin and end within a day; a part this short is no day of its own.
_LEAST_HOURS = 12

#: With a smaller share of the daily effects left on average, their mean would mislead.
_ONE_WAY = 0.3

_SIGNIFICANT_DIGITS, _TINY = 3, 1e-6

#: Below these, two shares or two temperatures count as the same.
_SAME_SHARE, _SAME_DEGREES = 0.0005, 0.05

_RECENT_ERRORS = "The forecasts of the last weeks erred to one side"
_HABIT = "What the model has learnt of these hours of the week"

Days = npt.NDArray[np.datetime64]


def describe_network(
    parts: Parts, about: Circumstances, *, unit: str, scale: float
) -> tuple[str, ...]:
    """Tell what drives a network's forecast.

    Args:
        parts: of the n hours.
        about: the facts of the same hours.
        unit: of the meter.
        scale: of the meter, which says what is negligible.
    """
    median = np.asarray(np.sum(list(parts.values()), axis=0))
    nothing = np.zeros(len(median))
    recent = np.sum([parts.get(group, nothing) for group in RECENT_CONSUMPTION], axis=0)
    temperature = parts.get(FeatureGroup.TEMPERATURE, nothing)
    holidays = parts.get(FeatureGroup.HOLIDAYS, nothing)
    every_hour, everywhere = np.ones(len(median), dtype=bool), "the forecast"
    # A holiday is judged by its own hours: among a week's it would vanish.
    causes = (
        (parts[FeatureGroup.HOUR_OF_WEEK], every_hour, everywhere, _HABIT),
        (recent, every_hour, everywhere, f"{_recent_readings(parts, about)}: this"),
        (temperature, every_hour, everywhere, f"{_weather(about)}: this"),
        (parts.get(RECENT_ERRORS, nothing), every_hour, everywhere, f"{_RECENT_ERRORS}: this"),
        (holidays, about.holiday, "the forecast of those hours", f"{_holidays_ahead(about)}: this"),
        (holidays, ~about.holiday, everywhere, f"{_holidays_past(about)}: allowing for that"),
    )
    told = []
    for values, hours, where, cause in causes:
        effect = _Effect.of(values, median, about.days, hours)
        if effect is not None and effect.size > NEGLIGIBLE * scale:
            told.append((effect.size, f"{cause} {effect.in_words(where, unit)}."))
    told.sort(key=lambda each: each[0], reverse=True)
    return (
        _overall(median, parts[USUAL_WEEK], unit),
        *(sentence for _, sentence in told[:MOST_CAUSES]),
    )


def describe_baseline(reason: str, about: Circumstances) -> tuple[str, ...]:
    """Tell why last week's values answer, a sentence, and what they cannot know."""
    sentences = ["The forecast repeats the values of a week ago.", reason]
    if about.holiday.any():
        sentences.append(f"{_holidays_ahead(about)}, which last week's values do not know.")
    return tuple(sentences)


def amount(value: float, unit: str) -> str:
    """Return a value with three digits and its unit.

    >>> amount(12345.6, "kWh"), amount(19.849, "kWh"), amount(-0.01234, "m3/h"), amount(1e-9, "")
    ('12,346 kWh', '19.8 kWh', '-0.0123 m3/h', '0')
    """
    size = abs(value)
    decimals = max(0, _SIGNIFICANT_DIGITS - 1 - floor(log10(size))) if size > _TINY else 0
    return f"{value:,.{decimals}f} {unit}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Effect:
    """What a cause does to the median in some hours, in the meter's unit."""

    mean: float
    without: float  #: the mean median of these hours without it
    size: float  #: mean of the absolute daily means, so that no day makes up for another
    greatest_day: np.datetime64
    greatest: float  #: mean of that day

    @classmethod
    def of(cls, values: Values, median: Values, days: Days, hours: Flags) -> Self | None:
        """Measure it; None when there are no such hours."""
        if not hours.any():
            return None
        each, counts = np.unique(days[hours], return_counts=True)
        each = each[counts >= min(_LEAST_HOURS, counts.max())]
        by_day = np.array([values[hours & (days == day)].mean() for day in each])
        greatest = int(np.abs(by_day).argmax())
        mean = float(values[hours].mean())
        return cls(
            mean=mean,
            without=float(median[hours].mean()) - mean,
            size=float(np.abs(by_day).mean()),
            greatest_day=each[greatest],
            greatest=float(by_day[greatest]),
        )

    def in_words(self, forecast: str, unit: str) -> str:
        """Return what it does to a forecast on average, and most where a day stands out."""
        if abs(self.mean) < _ONE_WAY * self.size:
            text = f"moves {forecast} from day to day by {amount(self.size, unit)}, up or down"
        else:
            verb = "raises" if self.mean > 0 else "lowers"
            share = f" ({_percent(abs(self.mean) / self.without)})" if self.without > 0 else ""
            text = f"{verb} {forecast} by {amount(abs(self.mean), unit)}{share} on average"
        if abs(self.greatest) < _STANDS_OUT * abs(self.mean):
            return text
        sign = "+" if self.greatest > 0 else ""
        return f"{text}, most on {_day(self.greatest_day)} ({sign}{amount(self.greatest, unit)})"


def _overall(median: Values, usual_week: Values, unit: str) -> str:
    mean, usual = float(median.mean()), float(usual_week.mean())
    return (
        f"The forecast averages {amount(mean, unit)}, {_compared(mean, usual)} the usual week "
        f"({amount(usual, unit)}, the mean of the last four weeks)."
    )


def _compared(value: float, usual: float) -> str:
    """Say by how much a value lies above or below another, in percent where that means something.

    >>> _compared(110.0, 100.0), _compared(1.0, 0.0), _compared(100.01, 100.0)
    ('10.0 % above', 'above', 'as high as')
    """
    difference = abs(value - usual)
    if difference <= _SAME_SHARE * abs(usual):
        return "as high as"
    side = "above" if value > usual else "below"
    return f"{_percent(difference / usual)} {side}" if usual > 0 else side


def _recent_readings(parts: Parts, about: Circumstances) -> str:
    seen = [group for group in RECENT_CONSUMPTION if group in parts]
    sizes = {group: float(np.abs(parts[group]).mean()) for group in seen}
    if max(sizes, key=sizes.__getitem__) is FeatureGroup.LAST_HOURS:
        known = {"six hours": about.last_hours, "24 hours": about.last_day}
    else:
        known = {"seven days": about.last_week, "24 hours": about.last_day}
    facts = [
        f"the last {words} were {_compared(1.0 + departure, 1.0)} the usual week"
        for words, departure in known.items()
        if departure is not None
    ]
    text = ", ".join(facts) or "what was read lately"
    return f"{text[0].upper()}{text[1:]}"


def _weather(about: Circumstances) -> str:
    if about.warmer is None:
        return "The temperature of the hours ahead"
    if abs(about.warmer) < _SAME_DEGREES:
        return "It will be as warm as in the last four weeks"
    side = "warmer" if about.warmer > 0 else "colder"
    return f"It will be {abs(about.warmer):.1f} degrees {side} than in the last four weeks"


def _holidays_ahead(about: Circumstances) -> str:
    days = np.unique(about.days[about.holiday])
    return f"{_listed(days)} {'is a public holiday' if len(days) == 1 else 'are public holidays'}"


def _holidays_past(about: Circumstances) -> str:
    days = np.array(about.past_holidays, dtype="datetime64[D]")
    if not len(days):
        return "There was no public holiday in the last weeks"
    if len(days) == 1:
        return f"The last four weeks hold a public holiday, {_listed(days)}"
    return f"The last four weeks hold public holidays, {_listed(days)}"


def _listed(days: Iterable[np.datetime64]) -> str:
    *first, last = [_day(day) for day in days] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _day(day: np.datetime64) -> str:
    """Return the day in words.

    >>> _day(np.datetime64("2026-05-25"))
    'Monday 25 May'
    """
    moment: date = day.astype("datetime64[D]").item()
    return f"{moment:%A} {moment.day} {moment:%B}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
