"""Every setting of the system, read from the environment (or a ``.env`` file beside the doors).

Names in the environment are the field names in capitals: ``REDIS_URL``, ``WORKER_THREADS``.
README's table is made from the descriptions below (``python -m energy_forecasting.settings``).
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.meters import DEFAULT_METER_TYPES
from energy_forecasting.forecasting.recipe import LONGEST_HISTORY_DAYS

PROJECT_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = PROJECT_DIR / ".env"


#: As browsers send it: without a slash at the end, which would never fit.
WebOrigin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")]


class Settings(BaseSettings):
    """The system's settings; immutable once read."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, extra="ignore", frozen=True, env_ignore_empty=True
    )

    redis_url: str = Field(
        "redis://localhost:6379/0",
        pattern=r"^(redis|rediss|unix)://",
        description="Redis for the queue and the task records",
    )
    debug: bool = Field(
        default=False, description="Debug logs; worker and API reload when a file changes"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Format of the console log; the file keeps the line format"
    )
    log_dir: Path = Field(PROJECT_DIR / "logs", description="Folder of the log files")
    log_files_kept: int = Field(20, ge=1, description="Log files kept in the folder")

    api_keys: Path = Field(
        PROJECT_DIR / "config" / "api_keys.json",
        description="The API's keys (see SECURITY.md); made by `python -m energy_forecasting keys "
        "create NAME`",
    )
    require_api_key: bool = Field(
        default=False,
        description="The API asks for a key even while there is none; false: from the first one on",
    )
    trainings_per_hour: int = Field(
        0,
        ge=0,
        description="Trainings that a key may start per hour, unless it has a number of its own; "
        "while no key is asked for, that a client's address may start; 0: no limit",
    )
    cors_origins: tuple[WebOrigin, ...] = Field(
        (),
        description="Web pages of other origins that may call the API (a JSON list, such as "
        '`["https://portal.example"]`)',
    )

    meter_store: Literal["auto", "sqlite", "influxdb"] = Field(
        "auto", description="auto: InfluxDB when configured, else the embedded SQLite store"
    )
    sqlite_path: Path = Field(
        PROJECT_DIR / "var" / "meters.sqlite", description="File of the embedded meter store"
    )
    influxdb_config: Path = Field(
        PROJECT_DIR / "config" / "influxdb_config.json",
        description="InfluxDB's address, credentials and schema; INFLUXDB_URL, INFLUXDB_TOKEN "
        "(or _TOKEN_FILE), INFLUXDB_ORG, INFLUXDB_BUCKET, INFLUXDB_USERNAME, INFLUXDB_PASSWORD (or "
        "_PASSWORD_FILE) and INFLUXDB_DATABASE override it",
    )
    meter_types: tuple[str, ...] = Field(
        DEFAULT_METER_TYPES, description="Meter types that the API accepts (a JSON list)"
    )
    readings_body_limit_mb: int = Field(
        16,
        ge=1,
        le=256,
        description="POST /meters/{type}/{id}/readings refuses a larger body, packed or unpacked",
    )
    history_days: int = Field(
        730,
        ge=2,
        le=LONGEST_HISTORY_DAYS,
        description="Days of history that a training reads, up to the last reading; at most "
        f"{LONGEST_HISTORY_DAYS}",
    )
    quality_max_missing_share: float = Field(
        0.5,
        ge=0,
        le=0.9,
        description="A training refuses a history (DATA_QUALITY_ERROR) with a larger share of "
        "hours missing",
    )
    quality_max_gap_days: float | None = Field(
        None, gt=0, description="... with a longer gap; off: no limit"
    )
    quality_max_flat_share: float | None = Field(
        0.98,
        ge=0,
        le=1,
        description="... with a larger share of hours in runs of one unchanged value, other than "
        "zero, of a day or longer; 1: no limit",
    )
    quality_max_outlier_share: float | None = Field(
        None, ge=0, le=1, description="... with a larger share of outliers"
    )
    quality_max_negative_share: float | None = Field(
        None, ge=0, le=1, description="... with a larger share of hours below zero"
    )

    model_store: Path = Field(
        PROJECT_DIR / "models", description="Folder of the trained models, shared by all machines"
    )
    model_versions_kept: int = Field(
        5, ge=1, description="Versions kept per meter, the champion included"
    )

    publish_forecasts_minutes: float = Field(
        0,
        ge=0,
        le=7 * 24 * 60,
        description="Every so many minutes a worker writes forecasts to InfluxDB, for meters with "
        "new readings or a new model (see docs/grafana.md); 0: not at all",
    )
    publish_horizon_hours: int = Field(
        MAX_HORIZON_HOURS,
        ge=1,
        le=MAX_HORIZON_HOURS,
        description="Hours ahead of the last reading that are published",
    )

    worker_processes: int = Field(1, ge=1, le=64, description="Dramatiq processes per worker")
    worker_threads: int = Field(
        max(1, min(os.cpu_count() or 1, 8)),
        ge=1,
        le=64,
        description="Trainings at once per process, each in a trainer process of its own "
        "(default: the number of cores, at most 8)",
    )
    training_deadline_s: float = Field(
        900.0, gt=0, description="A training that takes longer is killed: TIMEOUT_ERROR"
    )
    trainer_max_trainings: int = Field(
        50, ge=1, description="A trainer process is replaced after so many trainings"
    )
    trainer_memory_limit_mb: int = Field(
        2048,
        ge=256,
        description="A trainer process above it is killed: MEMORY_ERROR; one above half of it is "
        "replaced before its next training",
    )
    tuning_max_trials: int = Field(
        2, ge=0, le=50, description="Alternatives that tuning tries by default; 0 turns it off"
    )
    base_max_meters: int = Field(
        50, ge=3, le=200, description="Meters that a base for young meters is learnt from at most"
    )
    max_worker_losses: int = Field(
        3, ge=1, description="A task whose worker died so often fails: WORKER_LOST"
    )
    shutdown_grace_s: float = Field(
        5.0, ge=0, description="A stopping worker lets trainings finish so long, then requeues them"
    )
    drain_limit_s: float = Field(
        120.0,
        ge=0,
        description="A drained worker (an upgrade, SIGUSR1) lets trainings finish so long",
    )
    task_retention_days: float = Field(
        7.0, gt=0, description="How long the record of an ended task is kept"
    )


class WrongSetting(Exception):
    """A setting cannot be read; the text names it and says what it must be."""


def read_settings() -> Settings:
    """Read the settings from environment and ``.env``.

    Raises:
        WrongSetting: a value cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise WrongSetting(f"The setting {name} is wrong: {first['msg']}.") from error
    except SettingsError as error:  # a list that is not JSON
        raise WrongSetting(f"The settings cannot be read: {error}.") from error


def read_environment(env_file: Path = ENV_FILE) -> dict[str, str]:
    """Return the environment, with what ``.env`` adds: INFLUXDB_TOKEN may stand there as well."""
    added = dotenv_values(env_file, encoding="utf-8") if env_file.is_file() else {}
    return {**{name: value for name, value in added.items() if value is not None}, **os.environ}


def settings_table() -> str:
    """Return the settings as a Markdown table for README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _shown(name, field.default)
        rows.append(f"| `{name.upper()}` | `{default}` | {field.description} |")
    return "\n".join(rows)


def _shown(name: str, default: object) -> str:
    if name == "worker_threads":
        return "number of cores"
    if default is None or default == ():
        return "off"
    if isinstance(default, Path):
        return default.relative_to(PROJECT_DIR).as_posix()
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


if __name__ == "__main__":
    print(settings_table())  # noqa: T201 - a command's output
