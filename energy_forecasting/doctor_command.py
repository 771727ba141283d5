"""``python -m energy_forecasting doctor``: connects, says what it found and what to write.

Exit codes: 0 when trainings work with what is given, 1 when not, 2 when a secret was written on
the command line. It writes nothing, neither to the database nor to a file.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import timedelta

import structlog

from energy_forecasting import bootstrap
from energy_forecasting.doctor.embedded_examination import examine_embedded
from energy_forecasting.doctor.finding import Diagnosis, Finding
from energy_forecasting.doctor.given import Given, Options, gather
from energy_forecasting.doctor.influx_examination import InfluxExamination
from energy_forecasting.doctor.screen import DoctorScreen, as_document
from energy_forecasting.doctor.terms import Terms
from energy_forecasting.settings import Settings, read_environment


def examine(arguments: argparse.Namespace) -> int:
    """Examine what is given and return the exit code."""
    if arguments.token is not None or arguments.password is not None:
        sys.stderr.write(
            "A secret does not belong on a command line: every user of this machine can read it in "
            "the process list. Set INFLUXDB_TOKEN or INFLUXDB_PASSWORD, or let INFLUXDB_TOKEN_FILE "
            "or INFLUXDB_PASSWORD_FILE name a file that holds it.\n"
        )
        return 2
    # What is shown tells what happened; a log says more only of a bug.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    options = Options(
        url=arguments.url,
        database=arguments.database,
        org=arguments.org,
        bucket=arguments.bucket,
    )
    settings = bootstrap.settings()
    given = gather(options, settings.influxdb_config, read_environment())
    if arguments.json:
        diagnosis = _diagnose(given, settings, lambda _finding: None)
        print(as_document(diagnosis))  # noqa: T201 - a command's output
    else:
        screen = DoctorScreen()
        diagnosis = _diagnose(given, settings, screen.show)
        screen.conclude(diagnosis)
    return 0 if diagnosis.can_train else 1


def _diagnose(given: Given, settings: Settings, show: Callable[[Finding], None]) -> Diagnosis:
    terms = Terms(
        meter_types=settings.meter_types,
        history=timedelta(days=settings.history_days),
        limits=bootstrap.quality_limits(settings),
    )
    is_influxdb_used = settings.meter_store != "sqlite" or given.has_options
    if is_influxdb_used and (not given.is_nothing or settings.meter_store == "influxdb"):
        return InfluxExamination(given, terms, show).diagnose()
    why = "METER_STORE is sqlite"
    if settings.meter_store != "sqlite":
        why = f"No InfluxDB is configured (neither {settings.influxdb_config} nor INFLUXDB_URL)"
    return examine_embedded(settings.sqlite_path, why, terms, show)
