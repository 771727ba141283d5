"""A meter, what is known about it, and what a store holds of it.

A meter's id becomes a file name and a part of a query, so its alphabet is closed here, once.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES, is_supported

METER_ID_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"
METER_TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
DEFAULT_METER_TYPES = ("electricity", "water", "gas", "heat")

_METER_ID = re.compile(METER_ID_PATTERN)
_METER_TYPE = re.compile(METER_TYPE_PATTERN)
# ZoneInfo looks for packages and files of this name, recursively.
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_SHOWN_CHARACTERS = 40


class ReadingKind(StrEnum):
    """What one reading of a meter means."""

    INTERVAL = "interval"  #: energy or volume used within the step; adds up over time
    POWER = "power"  #: a rate (kW, m3/h); averages over time
    CUMULATIVE = "cumulative"  #: a register that only counts up, until it is reset


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Meter:
    """Names one meter.

    Raises:
        InvalidRequest: the id or the type holds a character that is not allowed; ``field``
            says which.
    """

    meter_type: str  #: electricity, water, gas, heat, or what the settings add
    meter_id: str  #: 1 to 128 of ``A-Z a-z 0-9 . _ -``, not starting with a dot

    def __post_init__(self) -> None:
        if not _METER_ID.fullmatch(self.meter_id):
            raise InvalidRequest(
                f"meter_id {_shown(self.meter_id)} is not valid: use 1 to 128 of the characters "
                "A-Z a-z 0-9 . _ - and do not start with a dot.",
                field="meter_id",
            )
        if not _METER_TYPE.fullmatch(self.meter_type):
            raise InvalidRequest(
                f"meter_type {_shown(self.meter_type)} is not valid: use a word such as "
                "electricity, water, gas or heat.",
                field="meter_type",
            )

    def __str__(self) -> str:
        """Return ``type/id``, as logs and file paths show it."""
        return f"{self.meter_type}/{self.meter_id}"


def _shown(text: str) -> str:
    """Quote client text for a message: escaped and cut, so that it cannot forge a log line."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return ascii(cut)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterProfile:
    """What a forecaster must know of a meter besides its readings.

    Raises:
        InvalidRequest: the time zone is not an IANA name, or the resolution cannot be used.
    """

    unit: str = ""  #: as printed beside a number, ``kWh`` or ``m3/h``; empty when unknown
    timezone: str = "UTC"  #: IANA name; people's habits follow the local clock
    country: str | None = None  #: ISO 3166 code for public holidays; None means none are known
    reading_kind: ReadingKind = ReadingKind.INTERVAL
    resolution: timedelta | None = None  #: declared step of the readings; None: what is found

    def __post_init__(self) -> None:
        try:
            if not _TIMEZONE.fullmatch(self.timezone):
                raise ValueError("no name of a time zone")  # noqa: TRY301 - as ZoneInfo would
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidRequest(
                f"timezone {_shown(self.timezone)} is not an IANA time zone such as Europe/Rome.",
                field="timezone",
            ) from error
        if self.resolution is not None and not is_supported(self.resolution):
            raise InvalidRequest(
                f"A resolution of {self.resolution} cannot be used; in minutes it is one of "
                f"{', '.join(map(str, SUPPORTED_MINUTES))}.",
                field="resolution",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterSummary:
    """What a store holds of one meter."""

    meter: Meter
    profile: MeterProfile = field(default_factory=MeterProfile)
    readings: int | None = None  #: None when counting would be too expensive for the store
    first_reading: datetime | None = None  #: aware, UTC
    last_reading: datetime | None = None  #: aware, UTC
    has_temperature: bool | None = None  #: None when the store did not look
