"""What a storm will do, decided before it begins by a seed alone.

The same seed strikes the same things at the same stages in the same order. It does not repeat the
same run: which instruction a kill meets is the machine's affair.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from energy_forecasting.domain.stages import PIPELINE, Stage
from tests.chaos.fault_kinds import BRIEF, PAUSES, STORMS, Fault

#: The short form's only storm.
BRIEF_STORM = "brief"
#: Strikes in this storm do not wait for the one before to be overcome.
OVERLAPPING_STORM = "everything"

_TRAINING_ONLY = {Fault.TRAINER_KILLED, Fault.TRAINER_TERMINATED, Fault.TRAINER_PAUSED}
#: How long a process stands still: beyond the heartbeat of 10 s.
_PAUSE_S = (12.0, 15.0)
_OUTAGE_S = (1.0, 3.5)
#: Of a worker from Redis; every second one outlasts lease and heartbeat.
_LONG_CUT_S = 12.0
_LONGEST_BREATH_S = 1.0

#: Of orders: one in five is a batch.
_SIZES = (1, 1, 1, 1, 3)
_TWICE_SHARE = 0.15
_CANCELLED_SHARE = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """One fault to come."""

    fault: Fault
    stage: Stage  #: struck as soon as some task enters it
    length_s: float  #: of an outage or a pause
    breath_s: float  #: before it, after the one before


@dataclass(frozen=True, kw_only=True, slots=True)
class StormPlan:
    """One storm's strikes, in order."""

    name: str
    strikes: list[Strike]
    waits: bool  #: whether each strike waits until the one before is overcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One wish of a client."""

    meters: list[int]  #: their numbers; several are asked for as a batch
    twice: bool  #: asked for by two clients at once
    cancel_at: Stage | None  #: cancelled as soon as it is seen there; None: left alone


def plan_storm(name: str, *, seed: int, without: frozenset[Fault] = frozenset()) -> StormPlan:
    """Decide on a storm's strikes.

    Args:
        name: of ``STORMS``, or the brief one.
        seed: of every choice.
        without: faults that this machine cannot be given.
    """
    dice = random.Random(f"{seed} {name}")  # noqa: S311 - to be repeated, not to be secret
    if name == BRIEF_STORM:
        struck = [(fault, _one_stage(fault, dice)) for fault in BRIEF]
    elif name == OVERLAPPING_STORM:
        struck = [(fault, _one_stage(fault, dice)) for fault in STORMS[name]]
    else:
        struck = [(fault, stage) for fault in STORMS[name] for stage in _stages(fault, dice)]
    dice.shuffle(struck)
    return StormPlan(
        name=name,
        waits=name != OVERLAPPING_STORM,
        strikes=[
            Strike(
                fault=fault,
                stage=stage,
                length_s=_length_s(fault, dice),
                breath_s=dice.uniform(0, _LONGEST_BREATH_S),
            )
            for fault, stage in struck
            if fault not in without
        ],
    )


def plan_orders(name: str, *, seed: int, meters: int) -> Iterator[Order]:
    """Yield what a storm's clients wish for, without end."""
    dice = random.Random(f"{seed} {name} orders")  # noqa: S311 - as above
    while True:
        yield Order(
            meters=dice.sample(range(meters), dice.choice(_SIZES)),
            twice=dice.random() < _TWICE_SHARE,
            cancel_at=dice.choice(PIPELINE[:-1]) if dice.random() < _CANCELLED_SHARE else None,
        )


def _stages(fault: Fault, dice: random.Random) -> list[Stage]:
    if fault is Fault.WORKER_KILLED:
        return list(PIPELINE)
    if fault in PAUSES:
        return [_one_stage(fault, dice)]
    return [_one_stage(fault, dice), _one_stage(fault, dice)]


def _one_stage(fault: Fault, dice: random.Random) -> Stage:
    return Stage.TRAINING_MODEL if fault in _TRAINING_ONLY else dice.choice(PIPELINE)


def _length_s(fault: Fault, dice: random.Random) -> float:
    if fault in PAUSES:
        return dice.uniform(*_PAUSE_S)
    if fault is Fault.WORKER_CUT and dice.random() < 0.5:
        return _LONG_CUT_S
    return dice.uniform(*_OUTAGE_S)
