"""``python -m energy_forecasting keys create|list|revoke``: the keys of the API.

Works on the file that API_KEYS names, with or without a running API, which notices by itself. Run
it as the user that runs the API: the file is its owner's alone. Exit codes: 0 when it is done, 1
when not.
"""

import argparse
import json
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from energy_forecasting import bootstrap
from energy_forecasting.access.api_key import ApiKey, made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.scope import Scope
from energy_forecasting.domain.errors import EnergyForecastingError, InvalidRequest
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.screen import Screen


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line asks for and return the exit code."""
    screen = Screen()
    file = KeyFile(bootstrap.settings().api_keys)
    try:
        if arguments.action == "create":
            _create(file, arguments, screen)
        elif arguments.action == "revoke":
            _revoke(file, arguments, screen)
        else:
            _list(file, arguments, screen)
    except EnergyForecastingError as error:
        screen.fail(StartFailed(error.message))
        return 1
    return 0


def _create(file: KeyFile, arguments: argparse.Namespace, screen: Screen) -> None:
    is_first = not file.read()
    try:
        key, text = made_key(
            name=arguments.name,
            scope=Scope(arguments.scope),
            trainings_per_hour=arguments.trainings_per_hour,
        )
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidRequest(f"{fault['loc'][0]}: {fault['msg']}.") from error
    file.add(key)
    if arguments.json:
        print(json.dumps({**_shown(key), "key": text}))  # noqa: T201 - a command's output
        return
    print(text)  # noqa: T201 - alone on its line, to be cut out
    screen.say(
        f"This is the key {key.id} for {key.name}, with the scope {key.scope}. It is shown this "
        "once; what is kept cannot tell it. Clients send it as Authorization: Bearer KEY, or as "
        "X-API-Key: KEY."
    )
    if is_first:
        screen.warn("From now on the API asks every caller for a key.")


def _revoke(file: KeyFile, arguments: argparse.Namespace, screen: Screen) -> None:
    key = file.revoke(arguments.id)
    if arguments.json:
        print(json.dumps(_shown(key)))  # noqa: T201 - a command's output
        return
    screen.say(f"The key {key.id} ({key.name}) is revoked since {_moment(key.revoked)}.")
    if all(each.revoked for each in file.read()):
        screen.warn("No key is valid any more: the API goes on asking for one, and refuses all.")


def _list(file: KeyFile, arguments: argparse.Namespace, screen: Screen) -> None:
    keys = file.read()
    if arguments.json:
        print(json.dumps({"keys": [_shown(key) for key in keys]}))  # noqa: T201 - as above
        return
    if not keys:
        screen.say("There are no keys: the API asks for one only with REQUIRE_API_KEY=true.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "name", "scope", "trainings per hour", "created", "revoked"):
        table.add_column(name, overflow="fold")
    for key in keys:
        table.add_row(
            key.id,
            escape(key.name),
            key.scope,
            _limit(key.trainings_per_hour),
            _moment(key.created),
            _moment(key.revoked),
        )
    screen.console.print(table)


def _shown(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"})


def _limit(trainings_per_hour: int | None) -> str:
    if trainings_per_hour is None:
        return "as set"
    return str(trainings_per_hour) if trainings_per_hour else "no limit"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
