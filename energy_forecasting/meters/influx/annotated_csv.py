"""The CSV with annotations in which InfluxDB 2.x answers a Flux query.

An answer is a row of tables, each with annotation rows (``#datatype``, ``#group``,
``#default``), a header and records; blank lines stand between tables of different columns. A
fault after the first bytes comes as a table of its own with the columns ``error,reference``
(Flux specification, "Response format"). Only what our queries ask for is read: numbers,
strings and RFC 3339 times.
"""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from energy_forecasting.domain.errors import ConnectionFailed, DataQualityError
from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.meters.influx.discretion import Shown

NUMBERS = {"double", "long", "unsignedLong"}
_NONUMBERS = {"boolean", "string", "duration", "base64Binary", "dateTime:RFC3339"}
SECONDS_LENGTH = len("2022-01-01T00:00:00")
_FAULT = ["error", "reference"]  #: labels of a report of a fault
_RECORDS_AT_ONCE = 50_000  # bounds the Python strings alive at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of some records of like schema."""

    datatype: str  #: ``double``, ``string``, ``dateTime:RFC3339``, ...
    default: str  #: stands for an empty cell; itself empty when that means null
    cells: tuple[str, ...]

    def strings(self) -> list[str]:
        """Return the texts; an empty one may be a null."""
        return [cell or self.default for cell in self.cells]

    def numbers(self) -> Values:
        """Return the numbers; NaN where null.

        Raises:
            DataQualityError: the column holds text, booleans or times.
            ConnectionFailed: a cell is no number, though the column is said to hold some.
        """
        if self.datatype not in NUMBERS:
            datatype = self.datatype if self.datatype in _NONUMBERS else "unknown"
            raise DataQualityError(
                f"InfluxDB answers with values of type {datatype}, not with numbers; check the "
                "names of the fields in the configuration.",
                datatype=datatype,
            )
        try:
            return np.array([float(cell) if cell else math.nan for cell in self.strings()])
        except ValueError:
            raise _not_understood("a number is none") from None

    def times(self) -> Timestamps:
        """Return UTC times as datetime64[s]; fractions of a second are cut off.

        Raises:
            ConnectionFailed: a cell is no RFC 3339 time in UTC.
        """
        cells = self.strings()
        try:
            if all(cell[-1:] == "Z" for cell in cells):
                # The width cuts fraction and Z, of which NumPy would not take every form.
                return np.array(cells, dtype=f"U{SECONDS_LENGTH}").astype("datetime64[s]")
        except ValueError:
            pass
        raise _not_understood("a time is not RFC 3339 in UTC")


class Records(dict[str, Column]):
    """Columns of the same length by their labels."""

    def __missing__(self, label: str) -> Column:
        """Tell that the answer is not what was asked for."""
        raise _not_understood(f"it has no column {label!a}")


def read_records(answer: bytes, shown: Shown) -> Iterator[Records]:
    """Yield the records of an answer in pieces of like schema; nothing for an empty answer.

    Raises:
        ConnectionFailed: the answer is cut off, is no annotated CSV, or ends in an error.
    """
    if not answer.endswith(b"\n"):
        raise _not_understood("it is cut off")
    text = io.TextIOWrapper(io.BytesIO(answer), encoding="utf-8", newline="")
    try:
        yield from _tables(csv.reader(text, strict=True), shown)
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        # No cause: it may repeat what the server sent.
        raise _not_understood(shown(error)) from None


def _tables(rows: Iterator[list[str]], shown: Shown) -> Iterator[Records]:
    annotations: dict[str, list[str]] = {}
    header: list[str] | None = None
    is_fault = False
    records: list[list[str]] = []
    for row in rows:
        starts_table = not row or row[0].startswith("#")
        if header is not None and (starts_table or len(records) == _RECORDS_AT_ONCE):
            yield from _records(annotations, header, records)
            records = []
            if starts_table:
                annotations, header = {}, None
        if not row:
            continue
        if starts_table:
            annotations[row[0]] = row
        elif header is None:
            header, is_fault = row, [label for label in row if label] == _FAULT
        elif is_fault:
            raise _told(row, shown)
        else:
            records.append(row)
    if header is not None:
        yield from _records(annotations, header, records)


def _records(
    annotations: dict[str, list[str]], header: list[str], records: list[list[str]]
) -> Iterator[Records]:
    datatypes = annotations.get("#datatype")
    if datatypes is None:
        raise _not_understood("it has no #datatype annotation")
    defaults = annotations.get("#default", [""] * len(header))
    if records:
        described = zip(header, datatypes, defaults, zip(*records, strict=True), strict=True)
        yield Records(
            (label, Column(datatype=datatype, default=default, cells=cells))
            for label, datatype, default, cells in described
        )


def _told(row: list[str], shown: Shown) -> ConnectionFailed:
    """Explain a record that is InfluxDB's report of a fault."""
    told = next((cell for cell in row if cell), "no reason given")
    return ConnectionFailed(
        f"InfluxDB broke off its answer: {shown(told)}; see its log, then try again."
    )


def _not_understood(why: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"InfluxDB's answer cannot be read: {why}; check that the url in the configuration leads "
        "to InfluxDB 2.x and not to a proxy's page."
    )
