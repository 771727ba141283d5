"""What a reading may be: one set of rules, and of sentences, for files and requests.

A timestamp is ISO 8601 with an offset and names the start of the step; one without an offset is
refused, as on the autumn day it would name two hours. A consumption or temperature is any finite
number: whether it is plausible is for the data report to say, not for these rules.
"""

import math
from datetime import datetime

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.spans import EARLIEST, LATEST

_SHOWN_CHARACTERS = 40


class Unusable(Exception):
    """A line or an item cannot be used; the text says why and ends without a full stop."""


def meter_of(meter_type: str, meter_id: str) -> Meter:
    """Return the meter of a line; ``Unusable`` when the names cannot be one's."""
    try:
        return Meter(meter_type=meter_type, meter_id=meter_id)
    except InvalidRequest as error:
        raise Unusable(error.message.rstrip(".")) from error


def seconds_of(text: str) -> int:
    """Read an ISO 8601 timestamp as whole seconds since 1970 UTC; fractions are cut.

    Raises:
        Unusable: it is no timestamp, has no offset, or lies outside what stores can hold.

    >>> seconds_of("1970-01-01T01:00:07.9+01:00")
    7
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unusable(f"timestamp {shown(text)} is not ISO 8601") from None
    if moment.tzinfo is None:
        raise Unusable(
            f"timestamp {shown(text)} has no time zone; add an offset such as Z or +01:00"
        )
    if not EARLIEST <= moment < LATEST:
        raise Unusable(
            f"timestamp {shown(text)} lies outside the years {EARLIEST.year} to {LATEST.year - 1}"
        )
    return math.floor(moment.timestamp())


def number_of(text: str, name: str) -> float:
    """Read a finite number.

    Raises:
        Unusable: it is none; ``name`` says of what.

    >>> number_of("1.5e3", "consumption")
    1500.0
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Python reads 1_5 as 15; a data logger that wrote it meant something else.
    if not math.isfinite(value) or "_" in text:
        raise Unusable(f"{name} {shown(text)} is not a number")
    return value


def shown(text: str) -> str:
    r"""Quote a client's text for a message: escaped and cut, so that it cannot forge a log line.

    >>> print(shown("one" + chr(9) + "two"), shown("x" * 1000) == shown("x" * 40))
    'one\ttwo' True
    """
    return ascii(text[:_SHOWN_CHARACTERS])
