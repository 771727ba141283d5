"""Import of meter readings from CSV into a meter store.

A file has the columns ``meter_type,meter_id,timestamp,consumption`` and perhaps
``temperature``, in any order, comma-separated, UTF-8, gzipped or not; other columns are
ignored. Timestamps are ISO 8601 with an offset and name the start of the step.

The file is read once, line by line; readings wait as 24 bytes each until the file has ended
well, so a file that turns out to be damaged imports nothing, and meters may alternate line by
line. A bad line is left out and reported; what remains of a meter is written all or nothing.

A line with a temperature and an empty consumption, later than the meter's last reading, is a
forecast of temperature; it need not be in the same file as the readings. It cannot read local
timestamps without an offset: on the autumn day they would name two hours.
"""

import csv
import gzip
import io
import math
import zlib
from array import array
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path

import numpy as np

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.spans import EARLIEST, LATEST
from energy_forecasting.meters.store import MeterStore

READING_COLUMNS = ("meter_type", "meter_id", "timestamp", "consumption")
PROFILE_COLUMNS = ("meter_type", "meter_id", "unit", "timezone", "country", "reading_kind")

#: Rejected lines that a report tells in full; beyond it they are only counted.
REJECTIONS_SHOWN = 100

_PROGRESS_LINES = 10_000
_GZIP_MAGIC = b"\x1f\x8b"
_SHOWN_CELL = 40
_SHOWN_HEADER = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedLine:
    """A line that was left out."""

    line: int  #: counted from 1, the header included
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import did."""

    meters: int  #: meters that received readings
    readings: int  #: readings written; of duplicates in the file only the last
    duplicates: int  #: readings left out because a later line names the same meter and moment
    forecast_temperatures: int  #: temperatures written that lie after a meter's last reading
    rejected_lines: int
    rejected: tuple[RejectedLine, ...]  #: the first ``REJECTIONS_SHOWN`` of them


def import_csv(
    path: Path,
    store: MeterStore,
    *,
    profiles: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Import a file of readings; readings of the same meter and moment are replaced.

    Args:
        path: the readings.
        store: where they go.
        profiles: a CSV of ``meter_type,meter_id,unit,timezone,country,reading_kind`` and
            perhaps ``resolution_minutes``; empty cells take the profile's default. Without it
            known meters keep their profile.
        on_progress: called with the lines read so far, every ten thousand lines and at the end.

    Raises:
        InvalidRequest: a file is missing or cannot be opened; ``path`` is in the details.
        DataQualityError: a file is no such CSV, or not one line of it is usable; nothing was
            imported. A bad line among the profiles counts as such.
    """
    described = _read_profiles(profiles) if profiles else {}
    readings = _read_readings(path, on_progress or _ignore)
    forecasts = _forecasts(path, readings, store)
    for meter, profile in described.items():
        store.write_profile(meter, profile)
    measured = {meter: buffer for meter, buffer in readings.buffers.items() if buffer.seconds}
    written, duplicates = 0, 0
    for meter, buffer in measured.items():
        history = buffer.to_history()
        duplicates += len(buffer.seconds) - len(history)
        written += store.write_readings(meter, iter([history]))
    for meter, forecast in forecasts.items():
        store.write_temperature_forecast(meter, forecast)
    return ImportReport(
        meters=len(measured.keys() | forecasts.keys()),
        readings=written,
        duplicates=duplicates,
        forecast_temperatures=sum(map(len, forecasts.values())),
        rejected_lines=readings.rejected_lines,
        rejected=tuple(sorted(readings.rejected, key=attrgetter("line"))),
    )


def count_lines(path: Path) -> int:
    """Return how many lines a file has, for a progress bar; 0 when it cannot be read.

    Why it cannot is for the import itself to say.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw) as text:
            return sum(1 for _ in text)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return 0


@dataclass(kw_only=True, slots=True)
class _Warm:
    """Lines of one meter with a temperature but no consumption."""

    lines: "array[int]" = field(default_factory=lambda: array("q"))
    seconds: "array[int]" = field(default_factory=lambda: array("q"))
    degrees: "array[float]" = field(default_factory=lambda: array("d"))

    def append(self, line: int, seconds: int, degrees: float) -> None:
        self.lines.append(line)
        self.seconds.append(seconds)
        self.degrees.append(degrees)


@dataclass(kw_only=True, slots=True)
class _Buffer:
    """Readings of one meter on their way to the store."""

    warm: _Warm = field(default_factory=_Warm)
    seconds: "array[int]" = field(default_factory=lambda: array("q"))
    consumption: "array[float]" = field(default_factory=lambda: array("d"))
    temperature: "array[float]" = field(default_factory=lambda: array("d"))

    def append(self, seconds: int, consumption: float, temperature: float) -> None:
        self.seconds.append(seconds)
        self.consumption.append(consumption)
        self.temperature.append(temperature)

    def to_history(self) -> History:
        return History.from_readings(
            np.frombuffer(self.seconds, dtype=np.int64).astype("datetime64[s]"),
            np.frombuffer(self.consumption, dtype=np.float64),
            np.frombuffer(self.temperature, dtype=np.float64),
        )


@dataclass(kw_only=True, slots=True)
class _Readings:
    """What a file held."""

    buffers: dict[Meter, _Buffer] = field(default_factory=dict)
    rejected: list[RejectedLine] = field(default_factory=list)
    rejected_lines: int = 0

    def reject(self, line: int, reason: str) -> None:
        self.rejected_lines += 1
        if len(self.rejected) < REJECTIONS_SHOWN:
            self.rejected.append(RejectedLine(line=line, reason=reason))


class _BadLine(Exception):
    """A line cannot be used; the text says why."""


def _read_readings(path: Path, on_progress: Callable[[int], None]) -> _Readings:
    found = _Readings()
    buffers: dict[tuple[str, str], _Buffer] = {}  # by the cells, as making a Meter is slow
    with closing(_rows(path)) as rows:
        line, header = next(rows)
        type_at, id_at, stamp_at, consumption_at = _places(path, header, READING_COLUMNS)
        temperature_at = header.index("temperature") if "temperature" in header else None
        for line, row in rows:
            try:
                _check_width(row, header)
                seconds = _seconds(row[stamp_at])
                temperature = math.nan
                if temperature_at is not None and row[temperature_at]:
                    temperature = _number(row[temperature_at], "temperature")
                is_warm = not row[consumption_at] and math.isfinite(temperature)
                consumption = 0.0 if is_warm else _number(row[consumption_at], "consumption")
                named = (row[type_at], row[id_at])
                if named not in buffers:
                    meter = _meter(*named)
                    buffers[named] = found.buffers[meter] = _Buffer()
            except _BadLine as error:
                found.reject(line, str(error))
            else:
                if is_warm:
                    buffers[named].warm.append(line, seconds, temperature)
                else:
                    buffers[named].append(seconds, consumption, temperature)
            if line % _PROGRESS_LINES == 0:
                on_progress(line)
    on_progress(line)
    return found


def _forecasts(path: Path, found: _Readings, store: MeterStore) -> dict[Meter, TemperatureForecast]:
    """Tell forecasts of temperature by their moment; reject what lies before the last reading."""
    forecasts = {}
    for meter, buffer in found.buffers.items():
        warm = buffer.warm
        if not warm.lines:
            continue
        last = _last_reading(meter, buffer, store)
        seconds = np.frombuffer(warm.seconds, dtype=np.int64)
        ahead = np.zeros(len(seconds), dtype=np.bool_) if last is None else seconds > last
        for line in np.frombuffer(warm.lines, dtype=np.int64)[~ahead].tolist():
            found.reject(line, "consumption '' is not a number")
        if ahead.any():
            degrees = np.frombuffer(warm.degrees, dtype=np.float64)
            forecasts[meter] = TemperatureForecast.from_values(
                seconds[ahead].astype("datetime64[s]"), degrees[ahead]
            )
    if not forecasts and not any(buffer.seconds for buffer in found.buffers.values()):
        first = "".join(f"; line {bad.line}: {bad.reason}" for bad in found.rejected[:1])
        raise DataQualityError(f"{path} has no usable reading{first}.", path=str(path))
    return forecasts


def _last_reading(meter: Meter, buffer: _Buffer, store: MeterStore) -> int | None:
    """Return the moment of a meter's last reading in the file or the store, if it has one."""
    moments = [max(buffer.seconds)] if buffer.seconds else []
    try:
        held = store.describe(meter).last_reading
    except NoDataFound:
        held = None
    return max([*moments, *([] if held is None else [int(held.timestamp())])], default=None)


def _read_profiles(path: Path) -> dict[Meter, MeterProfile]:
    profiles = {}
    with closing(_rows(path)) as rows:
        _, header = next(rows)
        places = _places(path, header, PROFILE_COLUMNS)
        at = header.index("resolution_minutes") if "resolution_minutes" in header else None
        for line, row in rows:
            try:
                _check_width(row, header)
                meter_type, meter_id, *described = (row[place] for place in places)
                profiles[_meter(meter_type, meter_id)] = _profile(
                    *described, resolution_minutes="" if at is None else row[at]
                )
            except _BadLine as error:
                raise DataQualityError(
                    f"{path}, line {line}: {error}.", path=str(path), line=line
                ) from error
    return profiles


def _rows(path: Path) -> Generator[tuple[int, list[str]], None, None]:
    """Yield the header, trimmed, then each line that is not blank, with its number."""
    line, empty = 0, True
    try:
        with path.open("rb") as raw, _unpacked(raw) as text:
            reader = csv.reader(text, strict=True)
            for row in reader:
                line = reader.line_num
                if row:
                    empty = False
                    yield line, [cell.strip() for cell in row]
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataQualityError(
            f"{path} cannot be read as CSV in UTF-8 after line {line}: {error}; "
            "export it again, comma-separated.",
            path=str(path),
            line=line,
        ) from error
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be opened: {error.strerror}.", field="path", path=str(path)
        ) from error
    if empty:
        raise DataQualityError(f"{path} is empty.", path=str(path))


def _unpacked(raw: io.BufferedReader) -> io.TextIOWrapper:
    """Read text from a file that may be gzipped, whatever its name; a byte order mark is cut."""
    packed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
    return io.TextIOWrapper(
        gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8-sig", newline=""
    )


def _places(path: Path, header: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Find columns by name."""
    missing = [column for column in wanted if column not in header]
    if missing:
        found = ascii(",".join(header)[:_SHOWN_HEADER])
        raise DataQualityError(
            f"{path} lacks the column {', '.join(missing)}; its first line is {found}, "
            f"it should name {','.join(wanted)}.",
            path=str(path),
            missing=missing,
        )
    return [header.index(column) for column in wanted]


def _check_width(row: list[str], header: list[str]) -> None:
    if len(row) != len(header):
        raise _BadLine(f"it has {len(row)} cells, the header {len(header)}")


def _meter(meter_type: str, meter_id: str) -> Meter:
    try:
        return Meter(meter_type=meter_type, meter_id=meter_id)
    except InvalidRequest as error:
        raise _BadLine(error.message.rstrip(".")) from error


def _profile(
    unit: str, timezone: str, country: str, reading_kind: str, *, resolution_minutes: str
) -> MeterProfile:
    default = MeterProfile()
    if reading_kind and reading_kind not in set(ReadingKind):
        raise _BadLine(f"reading_kind {_shown(reading_kind)} is none of {', '.join(ReadingKind)}")
    try:
        return MeterProfile(
            unit=unit,
            timezone=timezone or default.timezone,
            country=country or None,
            reading_kind=ReadingKind(reading_kind or default.reading_kind),
            resolution=_resolution(resolution_minutes) if resolution_minutes else None,
        )
    except InvalidRequest as error:
        raise _BadLine(error.message.rstrip(".")) from error


def _resolution(cell: str) -> timedelta:
    if cell not in map(str, SUPPORTED_MINUTES):
        raise _BadLine(
            f"resolution_minutes {_shown(cell)} is none of {', '.join(map(str, SUPPORTED_MINUTES))}"
        )
    return timedelta(minutes=int(cell))


def _seconds(cell: str) -> int:
    """Read an ISO 8601 timestamp as whole seconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise _BadLine(f"timestamp {_shown(cell)} is not ISO 8601") from None
    if moment.tzinfo is None:
        raise _BadLine(
            f"timestamp {_shown(cell)} has no time zone; add an offset such as Z or +01:00"
        )
    if not EARLIEST <= moment < LATEST:
        raise _BadLine(
            f"timestamp {_shown(cell)} lies outside the years {EARLIEST.year} to {LATEST.year - 1}"
        )
    return math.floor(moment.timestamp())


def _number(cell: str, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _BadLine(f"{column} {_shown(cell)} is not a number")
    return value


def _shown(cell: str) -> str:
    """Quote a file's text for a message: escaped and cut."""
    return ascii(cell[:_SHOWN_CELL])


def _ignore(_lines: int) -> None:
    """Take progress and do nothing."""
