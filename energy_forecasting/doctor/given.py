"""What the operator has given so far: file, variables, options of the command line.

Options name places only. Token and password come from the environment or from files, as every
user of the machine can read a command line in the process list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.meters.influx.config import (
    InfluxConfig,
    check_influx_values,
    influx_variables,
    read_influx_values,
)

#: Keys that say where InfluxDB is and who asks; the others say how readings are named.
CONNECTION_KEYS = (
    "url",
    "token",
    "username",
    "password",
    "org",
    "bucket",
    "database",
    "timeout_s",
    "verify_tls",
    "ca_file",
)
SECRET_KEYS = ("token", "password")

_FLUX_KEYS, _INFLUXQL_KEYS = ("org", "bucket"), ("database", "username", "password")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line said."""

    url: str | None = None
    database: str | None = None
    org: str | None = None
    bucket: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Everything together; holds secrets."""

    path: Path  #: of the configuration, there or not
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    problem: str | None = None  #: why this is no configuration; None when it is one
    config: InfluxConfig | None = None
    remark: str | None = None  #: what was left aside
    is_file_used: bool = False
    are_variables_used: bool = False
    has_options: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether nobody said anything of InfluxDB."""
        return not self.values and self.problem is None


def gather(options: Options, path: Path, environment: Mapping[str, str]) -> Given:
    """Put together what was given; options win over variables, those over the file."""
    wanted = {
        key: value
        for key in ("url", "database", "org", "bucket")
        if (value := getattr(options, key)) is not None
    }
    given = Given(path=path, values=wanted, has_options=bool(wanted))
    try:
        variables = influx_variables(path, environment)
        values = {**variables, **wanted}
        given = replace(given, values=values, are_variables_used=bool(variables))
        if _is_elsewhere(options.url, path):
            # The credentials of the file are not meant for this address.
            remark = f"The file {path} is for another address and is left aside"
            given = replace(given, remark=remark)
        else:
            values = {**(read_influx_values(path, environment) or {}), **wanted}
            given = replace(given, is_file_used=path.exists())
    except InvalidRequest as wrong:
        return replace(given, problem=str(wrong.details["reason"]))
    given = replace(given, values=_in_one_form(values, wanted))
    if not given.values:
        return given
    try:
        return replace(given, config=check_influx_values(given.values, path))
    except InvalidRequest as wrong:
        return replace(given, problem=str(wrong.details["reason"]))


def _is_elsewhere(url: str | None, path: Path) -> bool:
    of_file = read_influx_values(path, {})
    if url is None or of_file is None:
        return False
    return url.rstrip("/") != str(of_file.get("url")).rstrip("/")


def _in_one_form(values: dict[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    """Leave out what belongs to the other form than the one that the options ask for."""
    if "database" in wanted:
        return {key: value for key, value in values.items() if key not in _FLUX_KEYS}
    if {"org", "bucket"} & wanted.keys():
        return {key: value for key, value in values.items() if key not in _INFLUXQL_KEYS}
    return values
