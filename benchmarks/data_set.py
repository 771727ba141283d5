"""The meters that a benchmark reads: two CSV files, one of readings and one about the meters.

Readings: ``meter_type, meter_id, timestamp, consumption, temperature``, gzipped, timestamps in
UTC, empty where unknown. Meters: at least ``meter_id, unit, tz``. The readings must be hourly;
nothing here aggregates or repairs them.
"""

import csv
import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History

#: Public holidays by time zone, for data sets that name no country.
COUNTRY_OF_ZONE = {
    "Africa/Casablanca": "MA",
    "America/Chicago": "US",
    "America/Los_Angeles": "US",
    "Asia/Seoul": "KR",
    "Australia/Melbourne": "AU",
    "Europe/Amsterdam": "NL",
    "Europe/Copenhagen": "DK",
    "Europe/London": "GB",
    "Europe/Madrid": "ES",
    "Europe/Rome": "IT",
    "US/Eastern": "US",
    "US/Mountain": "US",
    "US/Pacific": "US",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One meter of the data set."""

    meter: Meter
    profile: MeterProfile
    history: History

    def without_temperature(self) -> Self:
        """Return the same meter as if nobody had measured a temperature."""
        unknown = np.full(len(self.history), np.nan)
        return replace(self, history=replace(self.history, temperature=unknown))


def read_cases(data: Path, meta: Path, limit: int | None) -> list[Case]:
    """Read the meters of a data set, ordered by id; at most ``limit`` of them."""
    with meta.open(encoding="utf-8") as file:
        profiles = {
            row["meter_id"]: MeterProfile(
                unit=row["unit"], timezone=row["tz"], country=COUNTRY_OF_ZONE.get(row["tz"])
            )
            for row in csv.DictReader(file)
        }
    readings: dict[Meter, list[tuple[str, float, float]]] = {}
    with gzip.open(data, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            meter = Meter(meter_type=row["meter_type"], meter_id=row["meter_id"])
            readings.setdefault(meter, []).append(
                (
                    row["timestamp"].replace("+00:00", "").removesuffix("Z"),
                    float(row["consumption"] or "nan"),
                    float(row["temperature"] or "nan"),
                )
            )
    cases = []
    for meter in sorted(readings, key=lambda meter: meter.meter_id)[:limit]:
        stamps, consumption, temperature = zip(*readings[meter], strict=True)
        history = History.from_readings(
            np.array(stamps, dtype="datetime64[s]"), np.array(consumption), np.array(temperature)
        )
        cases.append(Case(meter=meter, profile=profiles[meter.meter_id], history=history))
    return cases
