"""Import of a CSV file with readings of many meters into a meter store.

A file has the columns ``meter_type,meter_id,timestamp,consumption`` and perhaps
``temperature``, in any order, comma-separated, UTF-8, gzipped or not; other columns are
ignored. Meters may alternate line by line.

The file is read once and to its end before anything is written, so one that turns out to be
damaged imports nothing. A bad line is left out and reported. Each meter is written after the
other: a store that fails midway keeps the meters before, and importing again harms nothing.

A line with a temperature and an empty consumption, later than the meter's last reading, is a
forecast of temperature; it need not be in the same file as the readings.
"""

import gzip
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from energy_forecasting.domain.errors import (
    DataQualityError,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.csv_readings import read_lines
from energy_forecasting.meters.ingestion.csv_table import CsvTable
from energy_forecasting.meters.ingestion.delivery import Delivery
from energy_forecasting.meters.ingestion.profile_file import read_profiles
from energy_forecasting.meters.ingestion.reading_rules import meter_of
from energy_forecasting.meters.ingestion.report import ImportReport, Rejections, Written
from energy_forecasting.meters.store import MeterStore

READING_COLUMNS = ("meter_type", "meter_id", "timestamp", "consumption")

_GZIP_MAGIC = b"\x1f\x8b"
#: Of the progress; the rest is writing, which takes about as long.
_READING_SHARE = 0.5


def import_csv(
    path: Path,
    store: MeterStore,
    *,
    profiles: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ImportReport:
    """Import a file of readings; readings of the same meter and moment are replaced.

    Args:
        path: the readings.
        store: where they go.
        profiles: a CSV of ``meter_type,meter_id,unit,timezone,country,reading_kind`` and
            perhaps ``resolution_minutes``; empty cells take the profile's default. Without it
            known meters keep their profile.
        on_progress: called with the share that is done, reading and writing together, 0 to 1.

    Raises:
        InvalidRequest: a file is missing or cannot be opened (``path`` is in the details), or
            the store takes no profiles; nothing was imported.
        DataQualityError: a file is no such CSV, or not one line of it is usable; nothing was
            imported. A bad line among the profiles counts as such.
        EnergyForecastingError: the store failed; the sentence and the details
            ``meters_written`` and ``readings_written`` tell how far the import had come.
    """
    tell = on_progress or _ignore
    described = _read_profiles(profiles) if profiles else {}
    rejections = Rejections()
    arrived = _read_readings(path, rejections, lambda share: tell(share * _READING_SHARE))
    deliveries = _deliveries(path, arrived, store, rejections)
    # Profiles first: a store that takes none says so before a reading is in.
    for meter, profile in described.items():
        store.write_profile(meter, profile)
    written = _write(
        deliveries,
        store,
        lambda share: tell(_READING_SHARE + share * (1 - _READING_SHARE)),
    )
    tell(1.0)
    return ImportReport(
        meters=len(deliveries),
        readings=sum(each.readings for each in written),
        duplicates=sum(each.duplicates for each in written),
        forecast_temperatures=sum(each.forecast_temperatures for each in written),
        rejected_lines=len(rejections),
        rejected=rejections.told,
    )


def _read_profiles(path: Path) -> dict[Meter, MeterProfile]:
    with _opened(path) as (text, _):
        return read_profiles(CsvTable.of(text, str(path), path=str(path)))


def _read_readings(
    path: Path, rejections: Rejections, on_progress: Callable[[float], None]
) -> dict[Meter, Arrivals]:
    arrived: dict[Meter, Arrivals] = {}
    by_cells: dict[tuple[str, str], Arrivals] = {}  # as making a Meter is slow
    with _opened(path) as (text, share_read):
        table = CsvTable.of(text, str(path), path=str(path))
        type_at, id_at, *_ = table.places(READING_COLUMNS)

        def arrivals_of(cells: list[str]) -> Arrivals:
            named = (cells[type_at], cells[id_at])
            arrivals = by_cells.get(named)
            if arrivals is None:
                meter = meter_of(*named)
                arrivals = by_cells[named] = arrived[meter] = Arrivals()
            return arrivals

        read_lines(table, rejections, arrivals_of, lambda: on_progress(share_read()))
    on_progress(1.0)
    return arrived


def _deliveries(
    path: Path, arrived: dict[Meter, Arrivals], store: MeterStore, rejections: Rejections
) -> list[Delivery]:
    """Return what each meter gets; ``DataQualityError`` when it is nothing."""
    settled = [
        Delivery.of(meter, arrivals, store, rejections) for meter, arrivals in arrived.items()
    ]
    deliveries = [delivery for delivery in settled if delivery.usable]
    if not deliveries:
        first = "".join(f"; line {bad.place}: {bad.reason}" for bad in rejections.told[:1])
        raise DataQualityError(f"{path} has no usable reading{first}.", path=str(path))
    return deliveries


def _write(
    deliveries: list[Delivery], store: MeterStore, on_progress: Callable[[float], None]
) -> list[Written]:
    total = max(sum(delivery.arrivals.readings for delivery in deliveries), 1)
    written: list[Written] = []
    before = 0
    for delivery in deliveries:

        def on_taken(taken: int, before: int = before) -> None:
            on_progress((before + taken) / total)

        try:
            written.append(delivery.write(store, on_taken))
        except EnergyForecastingError as error:
            raise _unfinished(error, len(written), before, len(deliveries)) from error
        before += written[-1].readings
    return written


def _unfinished(
    error: EnergyForecastingError, meters: int, readings: int, of_meters: int
) -> EnergyForecastingError:
    """Return the store's error, with how far the import had come."""
    return type(error)(
        f"{error.message} {meters} of {of_meters} meters ({readings:,} readings) had been "
        "written before; importing the file again harms nothing.",
        **{**error.details, "meters_written": meters, "readings_written": readings},
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.TextIOWrapper, Callable[[], float]]]:
    """Open a file that may be gzipped, whatever its name; a byte order mark is cut.

    Yields:
        The text, and a function that tells which share of the file has been read; of a pipe,
        whose end nobody knows, it tells 0.
    """
    try:
        with path.open("rb") as raw:
            status = os.fstat(raw.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            packed = raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            text = io.TextIOWrapper(
                gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8-sig", newline=""
            )
            with text:
                yield text, lambda: raw.tell() / size if size else 0.0
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be opened: {error.strerror}.", field="path", path=str(path)
        ) from error


def _ignore(_share: float) -> None:
    """Take progress and do nothing."""
