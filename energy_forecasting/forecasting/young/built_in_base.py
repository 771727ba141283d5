"""The base that every installation has: learnt from the sample meters that ship with it.

Learnt anew in each process that needs it, within a few seconds, rather than kept in a file that
could fall behind the features. Four meters are few: a base from the store's own is better.
"""

import csv
import gzip
from functools import cache
from pathlib import Path

import numpy as np

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.young.base_training import base_rows, learn_base
from energy_forecasting.forecasting.young.pooled_base import PooledBase

_DATA = Path(__file__).resolve().parents[3] / "data"
_READINGS = _DATA / "sample.csv.gz"
_PROFILES = _DATA / "sample_meters.csv"


@cache
def built_in_base() -> PooledBase:
    """Learn from the sample meters, once per process.

    Raises:
        StorageFailed: their files are missing or damaged.
    """
    try:
        grids = _sample_grids()
    except (OSError, ValueError, KeyError) as error:
        raise StorageFailed(
            f"The sample meters, from which short histories are helped, cannot be read "
            f"({type(error).__name__}); restore data/{_READINGS.name} and data/{_PROFILES.name}.",
            path=str(_READINGS),
        ) from error
    rows = {meter: base_rows(grid, meters=len(grids)) for meter, grid in grids.items()}
    return learn_base(rows).base


def _sample_grids() -> dict[str, LocalGrid]:
    readings: dict[str, list[tuple[str, str]]] = {}
    with gzip.open(_READINGS, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stamp, value = row["timestamp"].removesuffix("Z"), row["consumption"]
            readings.setdefault(row["meter_id"], []).append((stamp, value or "nan"))
    with _PROFILES.open(encoding="utf-8", newline="") as file:
        profiles = list(csv.DictReader(file))
    return {
        f"{row['meter_type']}/{row['meter_id']}": LocalGrid.from_history(
            _history(readings[row["meter_id"]]),
            LocalCalendar(timezone=row["timezone"], country=row["country"]),
        )
        for row in profiles
    }


def _history(readings: list[tuple[str, str]]) -> History:
    stamps, values = zip(*readings, strict=True)
    return History.from_readings(
        np.array(stamps, dtype="datetime64[s]"),
        np.array(values, dtype=np.float64),
        np.full(len(stamps), np.nan),
    )
