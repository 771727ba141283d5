"""Readings in the lines of a CSV, whosever they are."""

import math
from collections.abc import Callable

from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.csv_table import CsvTable
from energy_forecasting.meters.ingestion.reading_rules import Unusable, number_of, seconds_of
from energy_forecasting.meters.ingestion.report import Rejections

_PROGRESS_LINES = 10_000


def read_lines(
    table: CsvTable,
    rejections: Rejections,
    arrivals_of: Callable[[list[str]], Arrivals],
    on_progress: Callable[[], None] | None = None,
) -> None:
    """Read every line; a bad one is rejected, the others arrive.

    Args:
        table: with the columns ``timestamp,consumption`` and perhaps ``temperature``.
        rejections: takes the bad lines.
        arrivals_of: returns where the readings of a line's meter arrive, or raises ``Unusable``.
        on_progress: called every ten thousand lines.

    Raises:
        DataQualityError: a column is missing, or the text is no CSV from some line on.
    """
    stamp_at, consumption_at = table.places(("timestamp", "consumption"))
    temperature_at = table.place("temperature")
    for line, cells in table.lines:
        try:
            table.check_width(cells)
            seconds = seconds_of(cells[stamp_at])
            temperature = math.nan
            if temperature_at is not None and cells[temperature_at]:
                temperature = number_of(cells[temperature_at], "temperature")
            consumption = None
            if cells[consumption_at]:
                consumption = number_of(cells[consumption_at], "consumption")
            arrivals_of(cells).add(line, seconds, consumption, temperature)
        except Unusable as error:
            rejections.add(line, str(error))
        if on_progress is not None and line % _PROGRESS_LINES == 0:
            on_progress()
