"""``python -m energy_forecasting publish``: one pass over all champions, by hand or from cron."""

import logging
import sys

import structlog
from rich.markup import escape
from rich.table import Table

from energy_forecasting import bootstrap
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.serving.forecast_publisher import PublishingReport
from energy_forecasting.tasks.publishing_right import PublishingRight
from energy_forecasting.tasks.redis_client import api_redis


def publish(*, again: bool) -> int:
    """Publish what is new, or with ``again`` everything; return the exit code.

    0: every meter with a champion is published; 1: some are not, or nothing could be done; 130:
    stopped by Ctrl-C.
    """
    # The screen tells what happened; a log says more only of a bug.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    current = bootstrap.settings()
    screen = Screen()
    sink = bootstrap.forecast_sink(current)
    if sink is None:
        screen.fail(StartFailed(bootstrap.NOWHERE_TO_PUBLISH))
        return 1
    meters = bootstrap.meter_store(current)
    client = api_redis(current.redis_url)
    publisher = bootstrap.forecast_publisher(current, client, meters, sink)
    try:
        with (
            PublishingRight(client, url=current.redis_url).held() as renew,
            screen.progress("Publishing forecasts") as show,
        ):
            report = publisher.publish(again=again, before_each=renew, on_progress=show)
    except EnergyForecastingError as error:
        screen.fail(StartFailed(error.message))
        return 1
    except KeyboardInterrupt:
        screen.warn("Stopped before the end: what is written stays, the next pass goes on.")
        return 130
    finally:
        client.close()
        meters.close()
        sink.close()
    _show(report, screen)
    return 1 if report.unpublished or report.stopped_by else 0


def _show(report: PublishingReport, screen: Screen) -> None:
    if report.published:
        table = _table("type", "id", "model version", "origin", "points")
        for done in report.published:
            table.add_row(
                done.meter.meter_type,
                done.meter.meter_id,
                done.model_version,
                f"{done.origin:%Y-%m-%d %H:%M} UTC",
                f"{done.points:,}",
            )
        screen.console.print(table)
    points = sum(done.points for done in report.published)
    screen.say(
        f"{points:,} points of {len(report.published)} meters written to {report.target}; "
        f"{report.unchanged} meters had nothing new."
    )
    if report.unpublished:
        screen.warn(f"{len(report.unpublished)} meters could not be forecast:")
        table = _table("type", "id", "reason")
        for failed in report.unpublished:
            table.add_row(failed.meter.meter_type, failed.meter.meter_id, escape(failed.reason))
        screen.console.print(table)
    if report.stopped_by is not None:
        screen.fail(StartFailed(f"Ended early: {report.stopped_by.message}"))


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table
