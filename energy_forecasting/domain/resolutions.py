"""The step of a meter's readings: which steps are possible, and which one the readings have.

A step is read from the timestamps alone, so it cannot tell a meter that lost three of every four
rows from one that reads four times less often; that is what declaring a resolution is for.
"""

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.errors import DataQualityError

#: Steps that divide an hour, or are whole hours that divide a day.
SUPPORTED_MINUTES = (5, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)

HOUR_S = 3600
DAY_S = 86_400

#: A meter may change its step; what it reads now is told by so many last days.
_RECENT_DAYS = 28

#: Of older readings only whole hours are looked at: the finer ones tell a meter's step and how
#: an hour divides.
FINE_READINGS = timedelta(days=42)

#: Steps that vote on either side of a reading.
_VOTERS = 24
_CANDIDATES = 8  #: steps that stand for election, the most frequent of a history

#: Regular readings lie on multiples of the step; sparse ones may, by chance, below this step.
_LEAST_TELLING_STEP_S = 300
_LEAST_REGULAR_SHARE = 0.5

Seconds = npt.NDArray[np.int64]
_Timestamps = npt.NDArray[np.datetime64]


def is_supported(resolution: timedelta) -> bool:
    """Tell whether readings may be declared to have this step.

    >>> is_supported(timedelta(minutes=15)), is_supported(timedelta(hours=5))
    (True, False)
    """
    return resolution in {timedelta(minutes=minutes) for minutes in SUPPORTED_MINUTES}


def found_resolution(timestamps: _Timestamps) -> timedelta | None:
    """Return the most frequent step of the last four weeks; None when there is none.

    Args:
        timestamps: [n] ascending; gaps do not matter, seconds of jitter neither.

    >>> found_resolution(np.array(["2024-01-01T00:00", "2024-01-01T00:15"], "datetime64[s]"))
    datetime.timedelta(seconds=900)
    """
    if len(timestamps) < 2:  # noqa: PLR2004 - a step has two ends
        return None
    recent = timestamps[timestamps >= timestamps[-1] - np.timedelta64(_RECENT_DAYS, "D")]
    # A meter that reads less often has at least one step.
    steps = _steps(recent if len(recent) > 1 else timestamps[-2:])
    lengths, counts = np.unique(steps, return_counts=True)
    step = int(lengths[np.argmax(counts)])
    return timedelta(seconds=step) if _is_regular(steps, np.full(len(steps), step)) else None


def checked_resolution(timestamps: _Timestamps, declared: timedelta | None) -> timedelta | None:
    """Return the step that the readings have, after comparing it with the declared one.

    Raises:
        DataQualityError: the two differ, or the step is longer than an hour and does not divide
            a day; ``problem`` says which.
    """
    found = found_resolution(timestamps)
    if found is None:
        return declared
    if declared is not None and found != declared:
        raise DataQualityError(
            f"The meter is declared to be read every {in_words(declared)}, but its readings of "
            f"the last {_RECENT_DAYS} days come every {in_words(found)}; correct the declared "
            "resolution or leave it out, or mend what delivers the readings.",
            problem="resolution_differs",
            declared_minutes=declared.total_seconds() / 60,
            found_minutes=found.total_seconds() / 60,
        )
    if found > timedelta(hours=1) and not is_supported(found):
        raise DataQualityError(
            f"The readings come every {in_words(found)}; steps from 5 minutes to a day can be "
            "used, those above an hour only if they are whole hours that divide a day.",
            problem="resolution_unsupported",
            found_minutes=found.total_seconds() / 60,
        )
    return found


def in_words(resolution: timedelta) -> str:
    """Return a step as text.

    >>> in_words(timedelta(minutes=15)), in_words(timedelta(hours=1)), in_words(timedelta(days=1))
    ('15 minutes', '60 minutes', '24 hours')
    """
    minutes = resolution.total_seconds() / 60
    return f"{minutes / 60:g} hours" if minutes > 60 else f"{minutes:g} minutes"  # noqa: PLR2004


def nominal_steps(timestamps: _Timestamps) -> Seconds:
    """Return for each reading how long it stands for, whatever follows it, [n] seconds.

    A reading's own step counts when its neighbours before or after it have the same one, so a
    meter that went from hourly to 15 minutes is read right on both sides, and a missing row is
    seen as a gap. Where no step prevails every reading stands for an hour at most.
    """
    if len(timestamps) < 2:  # noqa: PLR2004 - a step has two ends
        return np.full(len(timestamps), HOUR_S, dtype=np.int64)
    steps = _steps(timestamps)
    before, after = _prevailing(steps)
    own = np.append(steps, -1)
    nominal = np.where(own == after, after, before)
    if not _is_regular(steps, nominal[:-1]):
        return np.full(len(timestamps), HOUR_S, dtype=np.int64)
    return nominal


def _steps(timestamps: _Timestamps) -> Seconds:
    """Return the steps between readings, [n - 1], without a minute's jitter."""
    seconds = np.diff(timestamps.astype("datetime64[s]").astype(np.int64))
    return np.where(seconds >= 60, (seconds + 30) // 60 * 60, seconds)  # noqa: PLR2004 - a minute


def _prevailing(steps: Seconds) -> tuple[Seconds, Seconds]:
    """Return the most frequent step before and after each reading, [n] each."""
    lengths, counts = np.unique(steps, return_counts=True)
    candidates = lengths[np.sort(np.argsort(-counts, kind="stable")[:_CANDIDATES])]
    seen = np.zeros((len(candidates), len(steps) + 1), dtype=np.int64)
    np.cumsum(steps == candidates[:, None], axis=1, out=seen[:, 1:])
    readings = np.arange(len(steps) + 1)
    votes_before = seen - seen[:, np.maximum(readings - _VOTERS, 0)]
    votes_after = seen[:, np.minimum(readings + _VOTERS, len(steps))] - seen
    # Where nobody votes, at an end or amid odd steps, the other side decides, else the whole.
    overall = candidates[np.argmax(seen[:, -1])]
    elected = []
    for votes, others in ((votes_before, votes_after), (votes_after, votes_before)):
        choice = candidates[votes.argmax(axis=0)]
        fallback = np.where(others.any(axis=0), candidates[others.argmax(axis=0)], overall)
        elected.append(np.where(votes.any(axis=0), choice, fallback))
    return elected[0], elected[1]


def _is_regular(steps: Seconds, nominal: Seconds) -> bool:
    on_beat = np.where(nominal < _LEAST_TELLING_STEP_S, steps == nominal, steps % nominal == 0)
    return float(on_beat.mean()) >= _LEAST_REGULAR_SHARE
