"""``python -m energy_forecasting COMMAND``: the whole system on this machine, and its meters.

``run`` starts Redis, a worker and the API, and stops all of it on Ctrl-C; ``demo`` also trains the
sample meters and shows their forecasts. ``import`` and ``meters`` fill and list the meter store;
``doctor`` connects to it, says what it found and what to write in the configuration; ``publish``
writes forecasts to InfluxDB; ``keys`` makes, lists and revokes the keys of the API.
Settings come from the environment, as for the doors.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

# Nothing of ours is imported here: it takes half a second, and Ctrl-C is answered only once the
# guard at the end stands.
PROJECT_DIR = Path(__file__).resolve().parent.parent
DEFAULT_PICTURE = PROJECT_DIR / "demo_output" / "forecast.png"


def main() -> int:
    """Read the command line and return the exit code."""
    arguments = _parser().parse_args()
    if arguments.command not in {"run", "demo"}:
        return _run_command(arguments)
    if os.name != "posix":
        sys.stderr.write(
            "This needs Linux or macOS. On Windows use WSL, or start Redis yourself and then "
            "start_dramatiq_worker.bat and start_dramatiq_api.bat.\n"
        )
        return 1
    from energy_forecasting.launcher import session  # noqa: PLC0415 - see above

    return session.run(
        session.SessionOptions(
            is_demo=arguments.command == "demo",
            is_served_after=not arguments.exit,
            port=arguments.port,
            state=arguments.state.resolve(),
            picture=arguments.picture.resolve(),
        )
    )


def _run_command(arguments: argparse.Namespace) -> int:
    if arguments.command == "doctor":
        from energy_forecasting import doctor_command  # noqa: PLC0415 - see above

        return doctor_command.examine(arguments)
    if arguments.command == "publish":
        from energy_forecasting import publish_command  # noqa: PLC0415 - see above

        return publish_command.publish(again=arguments.again)
    if arguments.command == "keys":
        from energy_forecasting import keys_command  # noqa: PLC0415 - see above

        return keys_command.run(arguments)
    from energy_forecasting import cli  # noqa: PLC0415 - see above

    if arguments.command == "meters":
        return cli.list_meters()
    return cli.import_readings(arguments.readings, arguments.profiles)


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
    add = commands.add_parser("import", help="import a CSV file into the configured meter store")
    add.add_argument("readings", type=Path, help="meter_type,meter_id,timestamp,consumption,...")
    add.add_argument("--profiles", type=Path, help="meter_type,meter_id,unit,timezone,country,...")
    commands.add_parser("meters", help="list the meters of the configured store")
    _add_doctor(commands)
    publish = commands.add_parser(
        "publish", help="write forecasts to InfluxDB, for meters with something new"
    )
    publish.add_argument("--again", action="store_true", help="also what is published already")
    _add_keys(commands)
    return parser


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    doctor = commands.add_parser(
        "doctor",
        help="connect to the meter store, say what it holds and what to write",
        description="Connects to InfluxDB (or the embedded store), says what it found and what to "
        "write in config/influxdb_config.json. Token and password come from the environment or "
        "from files only: INFLUXDB_TOKEN, INFLUXDB_PASSWORD, INFLUXDB_TOKEN_FILE, "
        "INFLUXDB_PASSWORD_FILE. It writes nothing.",
    )
    doctor.add_argument("--url", help="address of InfluxDB, http://localhost:8086")
    doctor.add_argument("--database", help="1.x and 3.x: database of the readings")
    doctor.add_argument("--org", help="2.x: organization")
    doctor.add_argument("--bucket", help="2.x: bucket of the readings")
    doctor.add_argument("--json", action="store_true", help="one JSON object, for programs")
    for secret in ("--token", "--password"):  # to refuse them with a sentence
        doctor.add_argument(secret, help=argparse.SUPPRESS)


def _add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser(
        "keys",
        help="make, list and revoke the keys of the API",
        description="From the first key on the API asks every caller for one. What a key allows, "
        "and how to run the API behind HTTPS, is in SECURITY.md.",
    )
    actions = keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("name", help="who will use it, for lists and logs")
    create.add_argument(
        "--scope",
        choices=["read", "train", "admin"],  # of access.scope, which is not imported here
        default="read",
        help="read (default): what changes nothing; train: also trainings and readings; admin: "
        "also rollbacks and deletions",
    )
    create.add_argument(
        "--trainings-per-hour",
        type=int,
        metavar="N",
        help="at most; 0: no limit; left out: TRAININGS_PER_HOUR",
    )
    list_keys = actions.add_parser("list", help="list the keys, the revoked ones too")
    revoke = actions.add_parser("revoke", help="end a key; a running API refuses it at once")
    revoke.add_argument("id", help="as `keys list` shows it")
    for action in (create, list_keys, revoke):
        action.add_argument("--json", action="store_true", help="one JSON object, for programs")


if __name__ == "__main__":
    try:
        exit_code = main()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped early; nothing had been started.\n")
        exit_code = 130
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody listens any more
            stream.flush()
    # Under `python -m` an interrupt that has passed through a string run by exec(), as while a
    # dataclass is imported, makes Python end itself by SIGINT although it was handled.
    os._exit(exit_code)
