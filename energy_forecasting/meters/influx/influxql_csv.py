"""The CSV in which InfluxDB answers InfluxQL: ``name,tags,time`` and the selected columns.

It can hold numbers only here, and it cannot tell faults: InfluxDB leaves out what went wrong and
ends the answer. So who reads it must know how many rows there should be.
"""

import io

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.errors import ConnectionFailed, DataQualityError
from energy_forecasting.meters.influx.faults import shown

_TIME = 2  #: name and tags stand before it


def read_columns(answer: bytes, columns: int) -> npt.NDArray[np.float64]:
    """Return the times in seconds and the selected columns, [columns + 1, n], NaN where null.

    Args:
        answer: one statement's rows, perhaps none.
        columns: how many were selected.

    Raises:
        ConnectionFailed: it is no such CSV.
        DataQualityError: a column holds text or booleans.
    """
    header, _, rows = answer.partition(b"\n")
    if header.strip() and not header.startswith(b"name,tags,time,"):
        raise _not_understood(header)
    if not rows.strip():
        return np.empty((columns + 1, 0))
    # Nulls are empty cells, of which NumPy would make no number.
    filled = rows.replace(b",,", b",nan,").replace(b",\n", b",nan\n").replace(b",,", b",nan,")
    wanted = range(_TIME, _TIME + columns + 1)
    try:
        return np.loadtxt(
            io.BytesIO(filled),
            delimiter=",",
            comments=None,
            quotechar='"',
            usecols=wanted,
            ndmin=2,
            unpack=True,
            encoding="utf-8",
        )
    except UnicodeDecodeError as error:
        raise _not_understood(rows) from error
    except ValueError as error:
        if "could not convert" not in str(error):
            raise _not_understood(rows) from error
        raise DataQualityError(
            "InfluxDB answers with values that are not numbers; check the names of the fields in "
            "the configuration.",
        ) from error


def _not_understood(text: bytes) -> ConnectionFailed:
    told = shown(text.decode("utf-8", "replace"))
    return ConnectionFailed(
        f"InfluxDB's answer cannot be read: {told}; check that the url in the configuration "
        "leads to InfluxDB and not to a proxy's page."
    )
