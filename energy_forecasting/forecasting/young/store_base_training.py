"""Learning a base from a store's meters of one type, beside the built-in sample."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InsufficientData
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.trainings import ProgressListener, TrainingPhase
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.progress import ProgressPlan
from energy_forecasting.forecasting.young.base_training import base_rows, learn_base
from energy_forecasting.forecasting.young.built_in_base import built_in_base
from energy_forecasting.forecasting.young.pooled_base import StoreBase
from energy_forecasting.forecasting.young.pooled_rows import PooledRows

#: Fewer meters teach less than the sample that is built in.
BASE_NEEDS_METERS = 3

#: A meter with fewer rows than ten origins would give is not worth having.
_FEWEST_ROWS = 1680


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BaseMeter:
    """A meter that a base learns from."""

    meter: Meter
    profile: MeterProfile
    history: History  #: hourly, at least BASE_METER_NEEDS_DAYS


def learn_store_base(
    meter_type: str,
    meters: list[BaseMeter],
    skipped: Mapping[str, str],
    listener: ProgressListener,
) -> StoreBase:
    """Learn a base.

    Args:
        meter_type: of all the meters.
        meters: with long histories.
        skipped: meters left out before, and why; those left out here are added.
        listener: called once per meter and round.

    Raises:
        InsufficientData: fewer than BASE_NEEDS_METERS can be learnt from.
    """
    plan = ProgressPlan(listener, trials=0)
    left_out = dict(skipped)
    rows: dict[str, PooledRows] = {}
    for number, each in enumerate(meters, start=1):
        calendar = LocalCalendar(timezone=each.profile.timezone, country=each.profile.country)
        own = base_rows(LocalGrid.from_history(each.history, calendar), meters=len(meters))
        if len(own) >= _FEWEST_ROWS:
            rows[str(each.meter)] = own
        else:
            left_out[str(each.meter)] = "too few hours in a row are known"
        plan.reach(TrainingPhase.PREPARING, number / len(meters))
    check_meter_count(len(rows), meter_type)
    learnt = learn_base(rows, known=built_in_base(), on_progress=plan.within(TrainingPhase.FITTING))
    moment = datetime.now(UTC)
    digest = hashlib.sha256(np.ascontiguousarray(learnt.base.total.location.gram).tobytes())
    card = BaseCard(
        meter_type=meter_type,
        version=f"{moment:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:8]}",
        learnt_at=moment,
        meters=list(rows),
        skipped=left_out,
        rows=learnt.rows,
        mase=round(learnt.mase, 4),
        naive_mase=round(learnt.naive_mase, 4),
        skill=round(1.0 - learnt.mase / learnt.naive_mase, 4) if learnt.naive_mase > 0 else 0.0,
    )
    return StoreBase(card=card, base=learnt.base)


def check_meter_count(usable: int, meter_type: str) -> None:
    """Raise InsufficientData when a store's meters are too few to learn from."""
    if usable < BASE_NEEDS_METERS:
        raise InsufficientData(
            f"A base needs at least {BASE_NEEDS_METERS} usable meters of type {meter_type}; the "
            f"store holds {usable}. Until then young meters use the built-in one.",
            have_meters=usable,
            need_meters=BASE_NEEDS_METERS,
        )
