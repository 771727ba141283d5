"""One session at the terminal: start the stack, perhaps show the demonstration, serve, stop."""

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.launcher.demo import DemoOptions, show_demo
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.interrupts import Interrupts
from energy_forecasting.launcher.sample import sample_meters
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.launcher.stack import Stack, StackOptions
from energy_forecasting.meters.influx.config import load_influx_config
from energy_forecasting.settings import Settings, WrongSetting, read_environment, read_settings

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

_SERVE_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOptions:
    """What the command line says."""

    is_demo: bool  #: train and forecast the sample meters first
    is_served_after: bool  #: False ends after the demonstration
    port: int | None
    state: Path
    picture: Path


def run(options: SessionOptions) -> int:
    """Run a session and return the exit code; whatever was started has ended then."""
    screen = Screen()
    with Interrupts() as interrupts:
        try:
            return _run(options, screen, interrupts)
        except KeyboardInterrupt:
            screen.say("Stopped early; nothing is left running.")
            return EXIT_INTERRUPTED
        except StartFailed as failure:
            screen.fail(failure)
        except WrongSetting as error:
            screen.fail(StartFailed(str(error)))
        except EnergyForecastingError as error:
            screen.fail(StartFailed(error.message))
        except httpx.TransportError as error:
            screen.fail(StartFailed(f"The API went away: {error}."))
        except BrokenPipeError:  # as under `| head`: nobody listens any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _run(options: SessionOptions, screen: Screen, interrupts: Interrupts) -> int:
    settings = read_settings()
    stack_options = StackOptions(
        state=options.state,
        port=options.port,
        is_sample_served=options.is_demo or not _has_own_meters(settings),
    )
    is_good = True
    with Stack(stack_options, settings=settings, screen=screen, interrupts=interrupts) as stack:
        if options.is_demo:
            demo = DemoOptions(
                meters=sample_meters(), picture=options.picture, log_dir=settings.log_dir
            )
            is_good = show_demo(stack.url, demo, screen=screen, tend=stack.tend)
        if options.is_served_after:
            _serve(stack, screen)
    screen.say("Everything has stopped.")
    return EXIT_OK if is_good else EXIT_FAILED


def _serve(stack: Stack, screen: Screen) -> None:
    """Keep the stack alive until Ctrl-C, which is the good end here."""
    with suppress(KeyboardInterrupt):
        screen.say("Serving; Ctrl-C stops everything.")
        while True:
            stack.tend()
            time.sleep(_SERVE_POLL_S)


def _has_own_meters(settings: Settings) -> bool:
    """Tell whether the operator has an InfluxDB that the stack should serve."""
    if settings.meter_store == "auto":
        return load_influx_config(settings.influxdb_config, read_environment()) is not None
    return settings.meter_store == "influxdb"
