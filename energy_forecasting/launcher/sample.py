"""The sample meters, loaded once into the embedded store."""

import csv
from collections.abc import Callable
from pathlib import Path

from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import PROJECT_DIR

READINGS = PROJECT_DIR / "data" / "sample.csv.gz"
PROFILES = PROJECT_DIR / "data" / "sample_meters.csv"


def sample_meters() -> list[Meter]:
    """Return the sample meters in the order of their file."""
    with PROFILES.open(encoding="utf-8", newline="") as file:
        return [
            Meter(meter_type=row["meter_type"], meter_id=row["meter_id"])
            for row in csv.DictReader(file)
        ]


def is_loaded(store: SqliteMeterStore) -> bool:
    """Tell whether every sample meter has readings in the store."""
    held = {summary.meter for summary in store.list_meters() if summary.readings}
    return held.issuperset(sample_meters())


def load(path: Path, *, on_progress: Callable[[float], None]) -> int:
    """Load the sample meters into the store at a path unless they are there.

    Args:
        path: the store's file, made when missing.
        on_progress: called with the share that is done, 0 to 1.

    Returns:
        The number of readings written; 0 when everything was there.

    Raises:
        EnergyForecastingError: the store cannot be written, or the sample is damaged.
    """
    store = SqliteMeterStore(path)
    try:
        if is_loaded(store):
            return 0
        report = import_csv(READINGS, store, profiles=PROFILES, on_progress=on_progress)
    finally:
        store.close()
    return report.readings
