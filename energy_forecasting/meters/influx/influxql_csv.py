"""The CSV in which InfluxDB answers InfluxQL: ``name,tags,time`` and the selected columns.

It can hold numbers only here, and it cannot tell faults: InfluxDB leaves out what went wrong and
ends the answer. So who reads it must know how many rows there should be.
"""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.errors import ConnectionFailed, DataQualityError

#: Makes the error of an answer from the answer.
Unreadable = Callable[[object], ConnectionFailed]

_SHOWN_BYTES = 100
_TIME = 2  #: name and tags stand before it


def read_columns(answer: bytes, columns: int, unreadable: Unreadable) -> npt.NDArray[np.float64]:
    """Return the times in seconds and the selected columns, [columns + 1, n], NaN where null.

    Args:
        answer: one statement's rows, perhaps none.
        columns: how many were selected.
        unreadable: makes the error of an answer that is no such CSV.

    Raises:
        ConnectionFailed: it is no such CSV.
        DataQualityError: a column holds text or booleans.
    """
    header, _, rows = answer.partition(b"\n")
    if header.strip() and not header.startswith(b"name,tags,time,"):
        raise unreadable(header)
    if not rows.strip():
        return np.empty((columns + 1, 0))
    if not rows.endswith(b"\n"):  # the last number may lack digits
        raise unreadable(rows[-_SHOWN_BYTES:])
    if header + b"\n" in rows:  # 3.x begins each piece of an answer with a header
        rows = b"".join(each for each in rows.splitlines(keepends=True) if each.strip() != header)
    # Nulls are empty cells, or null in 3.x, of which NumPy would make no number.
    rows = rows.replace(b",null", b",")
    filled = rows.replace(b",,", b",nan,").replace(b",\n", b",nan\n").replace(b",,", b",nan,")
    wanted = range(_TIME, _TIME + columns + 1)
    try:
        table: npt.NDArray[np.float64] = np.loadtxt(
            io.BytesIO(filled),
            delimiter=",",
            comments=None,
            quotechar='"',
            usecols=wanted,
            ndmin=2,
            unpack=True,
            encoding="utf-8",
        )
    # NumPy's errors are no causes, as they repeat what the server sent.
    except UnicodeDecodeError:
        raise unreadable(rows) from None
    except ValueError as error:
        if "could not convert" not in str(error):
            raise unreadable(rows) from None
        raise DataQualityError(
            "InfluxDB answers with values that are not numbers; check the names of the fields in "
            "the configuration.",
        ) from None
    if np.isnan(table[0]).any():  # 3.x quotes no comma of a name, which moves the columns
        raise unreadable(rows[:_SHOWN_BYTES])
    return table
