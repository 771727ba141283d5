"""The CSV that tells what meters are: unit, time zone, country, what a reading means."""

from datetime import timedelta

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES
from energy_forecasting.meters.ingestion.csv_table import CsvTable
from energy_forecasting.meters.ingestion.reading_rules import Unusable, meter_of, shown

PROFILE_COLUMNS = ("meter_type", "meter_id", "unit", "timezone", "country", "reading_kind")


def read_profiles(table: CsvTable) -> dict[Meter, MeterProfile]:
    """Read all profiles.

    Raises:
        DataQualityError: a column is missing or a line is bad; no profile is left out silently.
    """
    places = table.places(PROFILE_COLUMNS)
    resolution_at = table.place("resolution_minutes")
    profiles = {}
    for line, cells in table.lines:
        try:
            table.check_width(cells)
            meter_type, meter_id, *described = (cells[place] for place in places)
            minutes = "" if resolution_at is None else cells[resolution_at]
            profiles[meter_of(meter_type, meter_id)] = _profile(*described, minutes=minutes)
        except Unusable as error:
            raise DataQualityError(
                f"{table.name}, line {line}: {error}.", line=line, **table.details
            ) from error
    return profiles


def _profile(
    unit: str, timezone: str, country: str, reading_kind: str, *, minutes: str
) -> MeterProfile:
    default = MeterProfile()
    if reading_kind and reading_kind not in set(ReadingKind):
        raise Unusable(f"reading_kind {shown(reading_kind)} is none of {', '.join(ReadingKind)}")
    try:
        return MeterProfile(
            unit=unit,
            timezone=timezone or default.timezone,
            country=country or None,
            reading_kind=ReadingKind(reading_kind or default.reading_kind),
            resolution=_resolution(minutes) if minutes else None,
        )
    except InvalidRequest as error:
        raise Unusable(error.message.rstrip(".")) from error


def _resolution(cell: str) -> timedelta:
    supported = tuple(map(str, SUPPORTED_MINUTES))
    if cell not in supported:
        raise Unusable(f"resolution_minutes {shown(cell)} is none of {', '.join(supported)}")
    return timedelta(minutes=int(cell))
