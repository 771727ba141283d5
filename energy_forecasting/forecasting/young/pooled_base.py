"""The base: what many meters teach a young one, as sums that add up and can be taken apart.

The sums of each meter stand by themselves, so that a meter which helped to make a base can be
taken out before it is trained with it: else its out-of-fold error would know its own readings.
(The weights of the other meters' rows still know them a little; that is below what can be seen.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.young.pooled_moments import Moments

_PARTS = ("location", "spread")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MeterSums:
    """What is kept of one meter."""

    location: Moments  #: of its rows
    spread: Moments  #: of the sizes of its residuals, predicted by the other meters
    counts: Values  #: [LEAD_DAYS, bins] of residual / spread

    def __add__(self, other: Self) -> Self:
        return replace(
            self,
            location=self.location + other.location,
            spread=self.spread + other.spread,
            counts=self.counts + other.counts,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PooledBase:
    """What was learnt from a set of meters."""

    names: tuple[str, ...]  #: the f features of its sums
    meters: Mapping[str, MeterSums]  #: ``type/id`` to what it taught

    def without(self, meter: str) -> Self:
        """Return the base as it would be had the meter not been there."""
        others = {name: sums for name, sums in self.meters.items() if name != meter}
        return replace(self, meters=others)

    @property
    def total(self) -> MeterSums:
        """The sums over all meters."""
        first, *rest = self.meters.values()
        total = first
        for sums in rest:
            total = total + sums
        return total

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return tables that ``from_arrays`` reads: what a file of the base holds."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "names": np.array(self.names),
            "meters": np.array(list(self.meters)),
            "counts": _stacked([sums.counts for sums in self.meters.values()]),
        }
        for part in _PARTS:
            moments: list[Moments] = [getattr(sums, part) for sums in self.meters.values()]
            arrays[f"{part}_gram"] = _stacked([each.gram for each in moments])
            arrays[f"{part}_cross"] = _stacked([each.cross for each in moments])
            arrays[f"{part}_rows"] = _stacked([each.rows for each in moments])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Rebuild what ``to_arrays`` returned.

        Raises:
            KeyError: a table is missing.
        """
        tables = {
            name: np.asarray(table, dtype=np.float64)
            for name, table in arrays.items()
            if name not in ("names", "meters")
        }

        def moments(part: str, number: int) -> Moments:
            return Moments(
                gram=tables[f"{part}_gram"][number],
                cross=tables[f"{part}_cross"][number],
                rows=tables[f"{part}_rows"][number],
            )

        return cls(
            names=tuple(str(name) for name in arrays["names"]),
            meters={
                str(meter): MeterSums(
                    location=moments("location", number),
                    spread=moments("spread", number),
                    counts=tables["counts"][number],
                )
                for number, meter in enumerate(arrays["meters"])
            },
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoreBase:
    """A base learnt from the store's meters of one type, with its card."""

    card: BaseCard
    base: PooledBase


def _stacked(tables: Sequence[Values]) -> npt.NDArray[np.generic]:
    return np.stack(tables).astype(np.float32)
