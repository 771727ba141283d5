"""What buckets, measurements, tags and fields may be called here.

Anything that a query can quote, control characters apart: they end lines of logs and of line
protocol. Columns must not be called as InfluxDB calls its own, as it would not look at ours:
``"_tagKey" = 'a'`` is true for every series.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 256

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # and half characters
_TAKEN = {
    *("time", "_time", "_start", "_stop", "_measurement", "_field", "_value"),
    *("_name", "_serieskey", "_tagkey", "_tagvalue", "_fieldkey"),
}


def _checked_name(name: str) -> str:
    if not name:
        raise ValueError("it must not be empty")
    if len(name) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} characters")
    if _CONTROL.search(name):
        raise ValueError("it must not hold line breaks or other control characters")
    return name


def _checked_column_name(name: str) -> str:
    if name.lower() in _TAKEN:
        raise ValueError("InfluxDB keeps this name for itself")
    return name


#: The name of a bucket, database or measurement, or the value of a tag.
Name = Annotated[str, AfterValidator(_checked_name)]

#: The name of a tag or field.
ColumnName = Annotated[Name, AfterValidator(_checked_column_name)]
