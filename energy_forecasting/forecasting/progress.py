"""Telling truthfully how far a training has come.

The shares of the phases are measured times relative to one fit; the fraction therefore follows
the clock, not the number of phases.
"""

from collections.abc import Callable

from energy_forecasting.domain.trainings import (
    ProgressListener,
    TrainingPhase,
    TrainingProgress,
)

#: Time of each phase for a year of hourly readings; one fit of the ensemble is 1.
_SHARE = {
    TrainingPhase.PREPARING: 0.2,
    TrainingPhase.TUNING: 1.0,  # per trial
    TrainingPhase.FITTING: 1.0,
    TrainingPhase.CALIBRATING: 0.35,
}


class ProgressPlan:
    """Translates the progress within a phase into the fraction of the whole training."""

    def __init__(self, listener: ProgressListener, *, trials: int) -> None:
        self._listener = listener
        work = {**_SHARE, TrainingPhase.TUNING: _SHARE[TrainingPhase.TUNING] * trials}
        total = sum(work.values())
        self._start: dict[TrainingPhase, float] = {}
        self._share: dict[TrainingPhase, float] = {}
        done = 0.0
        for phase in TrainingPhase:
            self._start[phase], self._share[phase] = done / total, work[phase] / total
            done += work[phase]

    def reach(self, phase: TrainingPhase, done: float) -> None:
        """Report that a share (0 to 1) of a phase is done."""
        fraction = self._start[phase] + self._share[phase] * min(max(done, 0.0), 1.0)
        self._listener(TrainingProgress(fraction=min(fraction, 1.0), phase=phase))

    def within(self, phase: TrainingPhase) -> Callable[[float], None]:
        """Return a function that reports the share of one phase."""
        return lambda done: self.reach(phase, done)
