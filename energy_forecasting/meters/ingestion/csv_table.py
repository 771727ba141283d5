"""Comma-separated text with a header: its lines, numbered as an editor numbers them.

It cannot guess another separator or encoding than comma and UTF-8; it refuses the text instead.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.meters.ingestion.reading_rules import Unusable

_SHOWN_HEADER = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvTable:
    """A header and, once, the lines below it; every cell is trimmed."""

    name: str  #: what messages call the text: a path, or the body of a request
    details: dict[str, object]  #: of every error
    header: list[str]
    lines: Iterator[tuple[int, list[str]]]  #: with their numbers from 1, the header's; not blank

    @classmethod
    def of(cls, text: Iterable[str], name: str, **details: object) -> "CsvTable":
        """Read the header; the lines are read one by one as they are asked for.

        Raises:
            DataQualityError: the text is empty or no such CSV, now or at a later line.
        """
        lines = _numbered(text, name, details)
        _, header = next(lines, (0, []))
        if not header:
            raise DataQualityError(f"{name} is empty.", **details)
        return cls(name=name, details=details, header=header, lines=lines)

    def places(self, columns: tuple[str, ...]) -> list[int]:
        """Find columns by name.

        Raises:
            DataQualityError: one is missing.
        """
        missing = [column for column in columns if column not in self.header]
        if missing:
            found = ascii(",".join(self.header)[:_SHOWN_HEADER])
            raise DataQualityError(
                f"{self.name} lacks the column {', '.join(missing)}; its first line is {found}, "
                f"it should name {','.join(columns)}.",
                missing=missing,
                **self.details,
            )
        return [self.header.index(column) for column in columns]

    def place(self, column: str) -> int | None:
        """Find a column that may be missing."""
        return self.header.index(column) if column in self.header else None

    def check_width(self, cells: list[str]) -> None:
        """Raise ``Unusable`` when a line has more or fewer cells than the header."""
        if len(cells) != len(self.header):
            raise Unusable(f"it has {len(cells)} cells, the header {len(self.header)}")


def _numbered(
    text: Iterable[str], name: str, details: dict[str, object]
) -> Iterator[tuple[int, list[str]]]:
    line = 0
    reader = csv.reader(text, strict=True)
    try:
        for row in reader:
            line = reader.line_num
            if row:
                yield line, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataQualityError(
            f"{name} cannot be read as CSV in UTF-8 after line {line}: {error}; "
            "export it again, comma-separated.",
            line=line,
            **details,
        ) from error
