"""Readings of any step brought onto a regular one: whole hours for the models, or finer.

Each reading stands for a span of time, from its timestamp to the next reading; its amount is
spread evenly over that span. So fine readings add up or average, and one of a day gives 24 equal
hours. A span that is not known in whole is scaled up from what is known of it, by time and not
by the number of rows; an hour of which less than half is known is missing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import History, Timestamps, Values
from energy_forecasting.domain.resolutions import DAY_S, HOUR_S, Seconds, nominal_steps

#: A register tells what was used in a gap, not when; over a longer one its habits turn.
LONGEST_SPREAD_S = 3 * HOUR_S

#: A register that moved in a gap by no more than this share of its changes was silent because
#: next to nothing was used: programs that report changes only say nothing the whole night.
_USUAL_CHANGES = 0.95

#: Readings come a little late; a later one follows a gap.
_JITTER = 1.1

#: Where the clocks change a step of local time is an hour longer.
_CLOCK_CHANGE_S = HOUR_S
_SHORTEST_LOCAL_STEP_S = 2 * HOUR_S

#: Of an amount, less than this share says too little about the rest.
_LEAST_KNOWN_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Spans:
    """What n readings stand for; ascending, without overlap."""

    start: Seconds  #: [n] since 1970, UTC
    end: Seconds  #: [n]
    value: Values  #: [n] amount used within the span, or the rate there; NaN where unknown
    temperature: Values  #: [n]


def to_hourly(history: History, kind: ReadingKind) -> History:
    """Bring readings of any step onto whole UTC hours; hourly ones stay as they are."""
    return to_steps(history, kind, HOUR_S)


def to_steps(history: History, kind: ReadingKind, step_s: int) -> History:
    """Bring readings onto steps that divide an hour, or onto hours.

    Amounts add up, rates and temperatures average, registers turn into the differences between
    their readings. A register that falls was reset, which yields a missing value; a few low
    readings between two high ones are a fault of the transmission and left out. One that was
    silent for hours and then moved by no more than usual had nothing to report.

    Args:
        history: readings of any step.
        kind: what a reading means.
        step_s: length of the wanted steps, in seconds.
    """
    if not len(history):
        return history
    spans = _spans(history, kind)
    first = spans.start // step_s
    # A span of no length, of which a register has none, would belong nowhere.
    pieces = np.maximum((spans.end - 1) // step_s - first + 1, 1)
    of = np.repeat(np.arange(len(pieces)), pieces)
    step = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    overlap = np.minimum(spans.end[of], (step + 1) * step_s) - np.maximum(
        spans.start[of], step * step_s
    )
    steps, place = np.unique(step, return_inverse=True)
    known, value = _weighted(place, overlap / step_s, spans.value[of], len(steps))
    if kind is not ReadingKind.POWER:
        part = overlap / (spans.end - spans.start)[of]
        _, value = _weighted(place, part, spans.value[of], len(steps))
        known = np.where(known < _LEAST_KNOWN_SHARE, 0.0, known)
    warm, degrees = _weighted(place, overlap / step_s, spans.temperature[of], len(steps))
    return History(
        timestamps=(steps * step_s).astype("datetime64[s]"),
        consumption=np.divide(value, known, out=np.full(len(steps), np.nan), where=known > 0),
        temperature=np.divide(degrees, warm, out=np.full(len(steps), np.nan), where=warm > 0),
    )


def hours_inside(history: History, kind: ReadingKind) -> Timestamps:
    """Return the hours that begin within a reading longer than an hour, ascending.

    Nothing may be forecast from such an hour: what its past tells comes from a reading that
    ends later.
    """
    if not len(history):
        return history.timestamps
    spans = _spans(history, kind)
    long = np.flatnonzero(spans.end - spans.start > _JITTER * HOUR_S)
    first = spans.start[long] // HOUR_S + 1
    hours = np.maximum(-(-spans.end[long] // HOUR_S) - first, 0)
    of = np.repeat(np.arange(len(hours)), hours)
    inside = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(hours) - hours, hours)
    return (np.unique(inside) * HOUR_S).astype("datetime64[s]")


def _spans(history: History, kind: ReadingKind) -> _Spans:
    if kind is ReadingKind.CUMULATIVE:
        history = _without_dips(history)
    start = history.timestamps.astype("datetime64[s]").astype(np.int64)
    nominal = nominal_steps(history.timestamps)
    # Daily readings a minute past the hour are meant to be daily readings of the hour.
    is_coarse = nominal >= _SHORTEST_LOCAL_STEP_S
    start = np.where(is_coarse, (start + HOUR_S // 2) // HOUR_S * HOUR_S, start)
    following = np.append(np.diff(start), nominal[-1:])
    longest = np.where(is_coarse, nominal + _CLOCK_CHANGE_S, nominal * _JITTER)
    value = history.consumption
    if kind is ReadingKind.CUMULATIVE:
        used = np.append(np.diff(value), np.nan)  # the last reading opens what is not yet known
        longest = np.maximum(longest, LONGEST_SPREAD_S)
        longest = np.where(_was_silent(used), following, longest)
        value = np.where((used < 0) | (following > longest), np.nan, used)
    length = np.where(following <= longest, following, np.minimum(nominal, following))
    kept = length > 0  # two readings that rounding made one
    return _Spans(
        start=start[kept],
        end=(start + length)[kept],
        value=value[kept],
        temperature=history.temperature[kept],
    )


def _was_silent(used: Values) -> npt.NDArray[np.bool_]:
    """Tell which changes of a register are so small that nothing was missed before them.

    Wherever in its gap such a change belongs, no hour is wrong by more than the register often
    moves between two readings. What an outage hides is more than that.
    """
    moves = used[used > 0]
    usual = np.quantile(moves, _USUAL_CHANGES) if len(moves) else 0.0
    return (used >= 0) & (used <= usual)


def _without_dips(history: History) -> History:
    """Leave out unusable register readings and low ones that a single jump makes good again."""
    register = history.consumption
    usable = np.isfinite(register)
    at, register = history.timestamps[usable], register[usable]
    kept = np.ones(len(register), dtype=bool)
    lows = np.flatnonzero(np.diff(register) < 0) + 1
    ends = np.searchsorted(at, at[lows] + np.timedelta64(DAY_S, "s"), side="right")
    for low, end in zip(lows.tolist(), ends.tolist(), strict=True):
        before, dip = register[low - 1], register[low:end]
        returns = np.flatnonzero((np.diff(dip) >= before - dip[0]) & (dip[1:] >= before))
        if len(returns):
            kept[low : low + 1 + returns[0]] = False
    if kept.all() and usable.all():
        return history
    return History(
        timestamps=at[kept],
        consumption=register[kept],
        temperature=history.temperature[usable][kept],
    )


def _weighted(
    place: npt.NDArray[np.intp], weight: Values, values: Values, count: int
) -> tuple[Values, Values]:
    """Return the weight and the weighted sum of the known values of each place, [count] each."""
    known = ~np.isnan(values)  # an infinite one is for the validation to refuse
    weights = np.bincount(place[known], weights=weight[known], minlength=count)
    total = np.bincount(place[known], weights=(weight * values)[known], minlength=count)
    return np.asarray(weights, dtype=np.float64), np.asarray(total, dtype=np.float64)
