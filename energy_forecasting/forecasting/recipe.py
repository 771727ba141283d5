"""The configuration that every meter starts from, with the evidence for it.

Measured on 24 real meters over 8 weeks each, 24 and 168 hours ahead (mean MASE, lower is
better): this recipe .70 to .90, gradient boosting on the same features .82 to .95, the
seasonal naive 1.09 to 1.13 (``docs/performance.md``). What brought nothing is left out:
monotone heads, dropout, early stopping, more than four members (.1 to .3 % for twice the time).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from energy_forecasting.domain.forecasts import TemperatureSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One network of the ensemble; variety among members is worth more than tuning."""

    fold: int  #: the fold that it does not learn from
    uses_level: bool  #: whether it sees ``base``; without it, it cannot learn a level by heart
    forgets: bool = False  #: whether old hours count less
    sees_temperature: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What tuning may change; none of it changes the shape of the network."""

    learning_rate: float = 5e-3  #: the peak, after the warm-up
    weight_decay: float = 1.0  #: decoupled, times the learning rate; small data wants much
    steps: int = 200  #: of BATCH_ROWS rows each
    recency_days: float = 120.0  #: the forgetting members weigh an hour exp(-age / this)


DEFAULT_SETTINGS = Settings()

_VARIETY = (
    Member(fold=0, uses_level=True),
    Member(fold=1, uses_level=False),
    Member(fold=2, uses_level=True, forgets=True),
    Member(fold=3, uses_level=False),
)

#: Fortnights are dealt to so many folds in turn; each member leaves one fold out.
FOLDS = len(_VARIETY)

#: Width of the hidden layers.
HIDDEN_UNITS = (64, 64)

#: Rows per step; half of it halves the time at a small loss of accuracy.
BATCH_ROWS = 256

#: Hours of one block that a member leaves out. Shorter blocks leak into each other.
FOLD_HOURS = 14 * 24

#: The latest fortnights teach every member and score none: they resemble the days ahead most
#: (holding them out too cost up to .5 % a day ahead).
LATEST_FORTNIGHTS = 2

#: Standardised features are clipped here, so that a spike cannot dominate.
FEATURE_CLIP = 5.0

#: Members learn from temperatures that err by half of what weather forecasts err. With a real
#: forecast that is .7 % better than learning from measured ones, and with the measured
#: temperature no worse; the whole error costs 1 % there and gains nothing (docs/adr/0006).
LEARNT_TEMPERATURE_ERROR = 0.5

#: With less history the network loses to the pooled regression: mean MASE of 24 meters a day and
#: a week ahead .96, 1.06 against .83, .97 at 14 weeks, .83, .96 against .81, .95 at 26; at 32 they
#: are equal (docs/adr/0007).
NETWORK_NEEDS_DAYS = 32 * 7

#: The pooled regression needs to have seen each hour of the day twice.
YOUNG_NEEDS_DAYS = 2

#: Older readings are not learnt from; they would cost memory and describe another building.
LONGEST_HISTORY_DAYS = 3 * 366

#: Tuning judges settings on the last weeks, which its trials do not learn from.
TAIL_DAYS = 35

#: With less history, leaving out the tail takes away too much to learn from.
TUNING_NEEDS_DAYS = 20 * 7


def ensemble_members(*, uses_temperature: bool) -> tuple[Member, ...]:
    """Return the members: first those blind to temperature, then those that see it.

    Where temperature ahead is not known both answer (see ``temperature_ahead``). One ensemble that
    got the last days' temperature instead was 5 % worse a day ahead and 2 % a week ahead; showing
    it both kinds of rows in training was worse still, and spoilt forecasts with temperature too.
    """
    if not uses_temperature:
        return _VARIETY
    return (*_VARIETY, *(replace(member, sees_temperature=True) for member in _VARIETY))


def member_positions(members: Sequence[Member]) -> dict[TemperatureSource, list[int]]:
    """Return which members answer under each source of temperature."""
    positions: dict[TemperatureSource, list[int]] = {}
    for position, member in enumerate(members):
        source = TemperatureSource.REQUEST if member.sees_temperature else TemperatureSource.UNUSED
        positions.setdefault(source, []).append(position)
    return positions
