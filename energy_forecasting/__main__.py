"""``python -m energy_forecasting demo`` and ``run``: the whole system on this machine.

``demo`` also trains the sample meters and shows their forecasts. Both start Redis, a worker and
the API, and stop all of it on Ctrl-C. Settings come from the environment, as for the doors.
"""

import argparse
import os
import sys
from pathlib import Path

from energy_forecasting.settings import PROJECT_DIR

DEFAULT_PICTURE = PROJECT_DIR / "demo_output" / "forecast.png"


def main() -> int:
    """Read the command line and return the exit code."""
    arguments = _parser().parse_args()
    if os.name != "posix":
        sys.stderr.write(
            "This needs Linux or macOS. On Windows use WSL, or start Redis yourself and then "
            "start_dramatiq_worker.bat and start_dramatiq_api.bat.\n"
        )
        return 1
    # Ctrl-C is answered from here on; the imports take half a second.
    from energy_forecasting.launcher import session  # noqa: PLC0415

    return session.run(
        session.SessionOptions(
            is_demo=arguments.command == "demo",
            is_served_after=not arguments.exit,
            port=arguments.port,
            state=arguments.state.resolve(),
            picture=arguments.picture.resolve(),
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m energy_forecasting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start Redis, worker and API, and serve")
    demo = commands.add_parser("demo", help="the same, and train and forecast the sample meters")
    for command in (run, demo):
        command.add_argument(
            "--port", type=int, help="port of the API; left out: the first free one from 8000 on"
        )
        command.add_argument(
            "--state",
            type=Path,
            default=PROJECT_DIR / "var",
            help="folder for the data of Redis and for what the programs print",
        )
    run.set_defaults(exit=False, picture=DEFAULT_PICTURE)
    demo.add_argument("--exit", action="store_true", help="end after the forecasts")
    demo.add_argument(
        "--picture",
        type=Path,
        default=DEFAULT_PICTURE,
        help="PNG file for the forecasts",
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before anything was started.\n")
        sys.exit(130)
