"""Training a meter too young for the network: choose its base, fit, keep the better forecast."""

from dataclasses import dataclass

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.model_card import BaseUsed
from energy_forecasting.forecasting.fitted_model import FittedModel
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.recipe import NETWORK_NEEDS_DAYS
from energy_forecasting.forecasting.young.built_in_base import built_in_base
from energy_forecasting.forecasting.young.pooled_base import PooledBase, StoreBase
from energy_forecasting.forecasting.young.pooled_training import JUDGED_FROM_DAYS, fit_pooled

#: How much better out of fold last week's values must be to serve. A few weeks judge badly: of 16
#: meters of 4 to 8 weeks on which they seemed better, by up to 18 %, 15 were forecast worse by
#: them in the eight weeks that followed.
NAIVE_WINS_BY = 0.2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class YoungModel:
    """What serves a young meter."""

    model: FittedModel
    reason: str  #: a sentence or two for the card
    base: BaseUsed | None  #: None when last week's values serve


def fit_young(
    grid: LocalGrid, meter: Meter, *, naive: FittedModel, days: float, base: StoreBase | None
) -> YoungModel:
    """Fit a meter's grid of at least two days.

    Args:
        grid: the history.
        meter: whose it is; what it taught a base is taken out.
        naive: last week's values, which serve where they are better.
        days: length of the history.
        base: of the store; None, or one of other features, means the built-in one.

    Raises:
        StorageFailed: the sample meters are not there.
    """
    built_in = built_in_base()
    known = built_in.without(str(meter))
    used = BaseUsed(source="built_in", meters=len(known.meters), version=None)
    if base is not None and base.base.names == built_in.names:
        known = base.base.without(str(meter))
        used = _store_base_used(base, known, built_in)
    model = fit_pooled(grid, known)
    skill = model.skill
    age = f"The history has {days:.0f} days; the network needs {NETWORK_NEEDS_DAYS}."
    again = f"Train again from day {NETWORK_NEEDS_DAYS} on."
    if skill is not None and skill.mase > (1.0 + NAIVE_WINS_BY) * skill.naive_mase:
        return YoungModel(
            model=naive,
            reason=f"{age} Last week's values are much better than what other meters teach: the "
            f"error out of fold is {skill.naive_mase:.3f} against {skill.mase:.3f}. {again}",
            base=None,
        )
    whose = (
        f"{used.meters} other meters of the store and the built-in sample"
        if used.source == "store"
        else f"the {used.meters} sample meters that ship with the system"
    )
    if skill is None:
        measured = f"Below {JUDGED_FROM_DAYS} days its error cannot be measured."
    elif skill.skill > 0:
        measured = f"Out of fold it beats last week's values by {skill.skill:.0%}."
    else:
        measured = (
            f"Out of fold its error is {-skill.skill:.0%} above that of last week's values; over "
            "so few weeks that proves nothing."
        )
    return YoungModel(
        model=model,
        reason=f"{age} Until then a regression learnt from {whose}, adjusted by this meter's own "
        f"readings and without temperature, serves. {measured} {again}",
        base=used,
    )


def _store_base_used(base: StoreBase, known: PooledBase, built_in: PooledBase) -> BaseUsed:
    others = [meter for meter in known.meters if meter not in built_in.meters]
    return BaseUsed(source="store", meters=len(others), version=base.card.version)
