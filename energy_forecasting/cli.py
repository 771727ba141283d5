"""Commands for an operator's own meters: import readings, list what the store holds."""

from pathlib import Path

from rich.table import Table

from energy_forecasting import bootstrap
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.domain.meters import MeterSummary
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.ingestion.report import ImportReport

_REJECTED_SHOWN = 10


def import_readings(readings: Path, profiles: Path | None) -> int:
    """Import a CSV file into the configured store; return the exit code.

    0: every line was imported; 1: some were not, or nothing was; 130: stopped by Ctrl-C.
    """
    screen = Screen()
    store = bootstrap.meter_store(bootstrap.settings())
    try:
        with screen.progress(f"Importing {readings.name} into {store.kind}") as show:
            report = import_csv(readings, store, profiles=profiles, on_progress=show)
    except EnergyForecastingError as error:
        screen.fail(StartFailed(error.message))
        return 1
    except KeyboardInterrupt:
        screen.warn(
            "Stopped before the end: some meters may be written already. Importing the file "
            "again harms nothing."
        )
        return 130
    finally:
        store.close()
    _show_report(report, store.kind, screen)
    return 1 if report.rejected_lines else 0


def list_meters() -> int:
    """Print the meters of the configured store; return the exit code."""
    screen = Screen()
    store = bootstrap.meter_store(bootstrap.settings())
    try:
        summaries = store.list_meters()
    except EnergyForecastingError as error:
        screen.fail(StartFailed(error.message))
        return 1
    finally:
        store.close()
    if not summaries:
        screen.say(f"The meter store ({store.kind}) holds no meters yet.")
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("type", "id", "unit", "time zone", "readings", "last reading"):
        table.add_column(name)
    for summary in summaries:
        table.add_row(*_cells(summary))
    screen.console.print(table)
    return 0


def _show_report(report: ImportReport, store_kind: str, screen: Screen) -> None:
    screen.say(
        f"{report.readings:,} readings of {report.meters} meters imported into the meter store "
        f"({store_kind})."
    )
    if report.duplicates:
        screen.warn(
            f"{report.duplicates:,} lines repeated a timestamp of their meter; the last one given "
            "was kept."
        )
    if report.forecast_temperatures:
        screen.say(f"{report.forecast_temperatures:,} temperatures are forecast for later hours.")
    if report.rejected_lines:
        screen.warn(f"{report.rejected_lines:,} lines were left out; the first of them:")
        for rejected in report.rejected[:_REJECTED_SHOWN]:
            screen.say(f"  line {rejected.place}: {rejected.reason}")


def _cells(summary: MeterSummary) -> tuple[str, ...]:
    return (
        summary.meter.meter_type,
        summary.meter.meter_id,
        summary.profile.unit,
        summary.profile.timezone,
        "" if summary.readings is None else f"{summary.readings:,}",
        f"{summary.last_reading:%Y-%m-%d %H:%M} UTC" if summary.last_reading else "",
    )
