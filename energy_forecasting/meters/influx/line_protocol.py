r"""One point as a line of InfluxDB's line protocol, with its time in seconds: pure text.

Source: InfluxDB's documentation, "Line protocol", and what 1.x, 2.x and 3.x make of it. They read
a backslash in a name or a tag value differently when another backslash, a comma, an equals sign,
a space, a double quote or the end follows. Such a text cannot be written so that every version
reads the same; it is refused, as are line breaks and other control characters. A line says nothing
of its precision: whoever sends it asks for ``precision=s``.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.readings import to_datetime64
from energy_forecasting.meters.spans import EARLIEST, LATEST

_MEASUREMENT_ESCAPES = str.maketrans({",": r"\,", " ": r"\ "})
_KEY_ESCAPES = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\="})
_STRING_ESCAPES = str.maketrans({'"': r"\"", "\\": r"\\"})

_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, lone surrogates
_AMBIGUOUS = re.compile(r'\\(?:[\\,= "]|$)')
_RESERVED_KEY: Final = "time"  # a column of its own in every answer
_INT64: Final = 2**63
_SHOWN_CHARACTERS: Final = 40
_EARLIEST, _LATEST = (int(to_datetime64(end).astype(np.int64)) for end in (EARLIEST, LATEST))


def line(
    measurement: str,
    tags: Mapping[str, str],
    fields: Mapping[str, float | int | str],
    seconds: int,
) -> str:
    r"""Write one point, its tags in ascending order of their keys, as the server keeps them.

    Args:
        measurement: name of the measurement.
        tags: by key.
        fields: by key; at least one. A float is written in full, an int as an integer.
        seconds: since 1970 in UTC.

    Raises:
        InvalidRequest: the point cannot be written so that every version of InfluxDB reads it as
            it is given; ``field`` names the part.

    >>> line("energy", {"site": "a b", "id": "7"}, {"kWh": 0.1, "state": "ok", "n": 3}, 60)
    'energy,id=7,site=a\\ b kWh=0.1,state="ok",n=3i 60'
    """
    if not fields:
        raise _refused("fields", measurement, "a point needs at least one field")
    if not _EARLIEST <= seconds <= _LATEST:
        raise _refused("seconds", str(seconds), f"InfluxDB keeps {EARLIEST:%Y} to {LATEST:%Y}")
    head = [_measurement(measurement)]
    head += [f"{_key('tag key', key)}={_tag_value(tags[key])}" for key in sorted(tags)]
    values = [f"{_key('field key', key)}={_value(value)}" for key, value in fields.items()]
    return f"{','.join(head)} {','.join(values)} {seconds}"


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return f'"{_writable("field value", value).translate(_STRING_ESCAPES)}"'
    if isinstance(value, bool):
        raise _refused("field value", str(value), "write a number or a text")
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise _refused("field value", str(value), "an integer has 64 bits")
        return f"{value}i"
    if not math.isfinite(value):
        raise _refused("field value", str(value), "leave out what is not a number")
    return repr(float(value))  # NumPy's floats are floats whose repr is another


# The same few names stand on every line of a write, so each is looked at once.
_NAMES_KNOWN: Final = 1024


@lru_cache(_NAMES_KNOWN)
def _measurement(name: str) -> str:
    if name.startswith("#"):
        raise _refused("measurement", name, "a line that begins with # is a comment")
    return _name("measurement", name).translate(_MEASUREMENT_ESCAPES)


@lru_cache(_NAMES_KNOWN)
def _tag_value(text: str) -> str:
    return _unambiguous("tag value", text).translate(_KEY_ESCAPES)


@lru_cache(_NAMES_KNOWN)
def _key(part: str, key: str) -> str:
    if key == _RESERVED_KEY:
        raise _refused(part, key, "it is reserved for the time of a point")
    return _name(part, key).translate(_KEY_ESCAPES)


def _name(part: str, name: str) -> str:
    if name.startswith("_"):
        raise _refused(part, name, "names that begin with _ are reserved")
    return _unambiguous(part, name)


def _unambiguous(part: str, text: str) -> str:
    if not text:
        raise _refused(part, text, "it must not be empty")
    if _AMBIGUOUS.search(text):
        raise _refused(
            part, text, 'no backslash may stand before one of \\ , = " or a space, or at the end'
        )
    return _writable(part, text)


def _writable(part: str, text: str) -> str:
    if _UNWRITABLE.search(text):
        raise _refused(part, text, "line breaks and other control characters cannot be written")
    return text


def _refused(part: str, text: str, reason: str) -> InvalidRequest:
    shown = ascii(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")
    return InvalidRequest(
        f"The {part} {shown} cannot be written to InfluxDB: {reason}.", field=part
    )
