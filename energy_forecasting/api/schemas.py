"""Bodies of requests and answers; their descriptions and examples are the OpenAPI document."""

from datetime import date, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.meters import METER_ID_PATTERN, METER_TYPE_PATTERN
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard, Skill
from energy_forecasting.domain.quality import QualityReport
from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.workers import WorkerInfo

EXAMPLE_METER: dict[str, JsonValue] = {"meter_id": "ucam_b37_elec", "meter_type": "electricity"}


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str = Field(description="Stable code", examples=["INVALID_REQUEST"])
    message: str = Field(description="What happened and what to do, in a sentence")
    details: dict[str, Any] = Field(description="The facts, for programs")


class ErrorAnswer(BaseModel):
    """The form of every error."""

    error: ErrorBody
    detail: str = Field(description="The message again, where older clients look for it")


#: For the OpenAPI document of routes that name a task, meter or model.
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "There is no such task, meter or model"}
}


class MeterRequest(BaseModel):
    """Names a meter."""

    # The domain's Meter checks both and says it better than a pattern could; the patterns here
    # are for the OpenAPI document.
    meter_id: str = Field(
        description="1 to 128 of A-Z a-z 0-9 . _ -", json_schema_extra={"pattern": METER_ID_PATTERN}
    )
    meter_type: str = Field(
        description="electricity, water, gas, heat or a configured one",
        json_schema_extra={"pattern": METER_TYPE_PATTERN},
    )


class TuningRequest(BaseModel):
    """How hard to look for better settings."""

    max_trials: int = Field(
        ge=0, le=50, description="Alternatives tried against the default; 0 turns tuning off"
    )


class TrainRequest(MeterRequest):
    """A wish to train a meter."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_METER]})

    tuning: TuningRequest | None = Field(None, description="Left out: TUNING_MAX_TRIALS applies")
    force: bool = Field(
        default=False,
        description="Cancel the meter's open task, if there is one, and start anew",
    )


class BaseRequest(BaseModel):
    """A wish to learn from the store's meters of one type."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"meter_type": "gas"}]})

    meter_type: str = Field(
        description="electricity, water, gas, heat or a configured one",
        json_schema_extra={"pattern": METER_TYPE_PATTERN},
    )


class TrainAnswer(BaseModel):
    """The task that will train the meter."""

    task_id: str
    status: Stage
    progress: int
    message: str
    meter_id: str
    meter_type: str
    deduplicated: bool = Field(
        description="The meter already had an open task, and this is that task"
    )


class TaskList(BaseModel):
    """A page of tasks, newest first."""

    tasks: list[TaskRecord]
    cursor: str | None = Field(
        None, description="Pass it as ?cursor= for the next page; absent at the end"
    )


class ForecastRequest(MeterRequest):
    """What to forecast: a number of hours from the last reading on, or a span of dates."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE_METER, "horizon_hours": 168}]}
    )

    horizon_hours: int | None = Field(
        None,
        ge=1,
        le=MAX_HORIZON_HOURS,
        description="Hours from the last reading on; 168 when neither this nor dates are given",
    )
    start_date: AwareDatetime | date | None = Field(
        None,
        description="First hour: a day in the meter's time zone, or a moment with an offset. "
        "In the past: the forecast uses only readings before it, so it can be compared",
    )
    end_date: AwareDatetime | date | None = Field(
        None, description="Last day (included), or the moment at which the forecast ends"
    )
    quantiles: list[float] = Field(
        list(QUANTILE_LEVELS), min_length=1, max_length=99, description="Levels between 0 and 1"
    )
    temperature: list[float] | None = Field(
        None,
        max_length=MAX_HORIZON_HOURS,
        description="Degrees Celsius for each hour of the horizon. Left out: the part of the "
        "model that does without answers, with intervals calibrated for that",
    )
    history_hours: int = Field(
        168, ge=0, le=1344, description="How many hours of readings to return before the forecast"
    )

    @model_validator(mode="after")
    def _horizon_or_dates(self) -> "ForecastRequest":
        if (self.start_date is None) != (self.end_date is None):
            raise ValueError("start_date and end_date go together; give both or neither")
        if self.horizon_hours is not None and self.start_date is not None:
            raise ValueError("give horizon_hours or start_date and end_date, not both")
        return self


class HistoryPoint(BaseModel):
    """One hour of the past."""

    timestamp: datetime = Field(description="Start of the hour, UTC")
    consumption: float | None = Field(description="null where the reading is missing")


class ForecastPoint(BaseModel):
    """One hour ahead."""

    timestamp: datetime = Field(description="Start of the hour, UTC")
    consumption: float = Field(description="The median forecast, in the meter's unit")
    quantiles: dict[str, float] = Field(description="Level to value; ascending, ordered")


class ForecastModel(BaseModel):
    """The model that made a forecast."""

    version: str
    method: ForecastMethod
    method_reason: str
    trained_at: datetime
    skill: Skill | None


class ForecastAnswer(BaseModel):
    """A forecast with the history that it follows."""

    meter_id: str
    meter_type: str
    unit: str
    timezone: str
    origin: datetime = Field(description="The forecast knows the readings before this moment")
    horizon_hours: int
    last_reading: datetime
    model: ForecastModel
    temperature_source: TemperatureSource
    degraded: bool = Field(description="Trust it less; degraded_reason says why")
    degraded_reason: str | None
    quantile_levels: list[float]
    history: list[HistoryPoint]
    forecast: list[ForecastPoint]


class ModelList(BaseModel):
    """The champions."""

    models: list[ModelCard]


class ModelVersions(BaseModel):
    """One meter's champion and the versions kept."""

    champion: ModelCard
    versions: list[ModelCard] = Field(description="Newest first, the champion among them")


class RollbackRequest(BaseModel):
    """Which version shall serve."""

    version: str | None = Field(
        None, max_length=64, description="Left out: the version before the champion"
    )


class MeterAnswer(BaseModel):
    """What the store holds of a meter."""

    meter_id: str
    meter_type: str
    unit: str
    timezone: str
    country: str | None
    reading_kind: str
    readings: int | None = Field(description="null when the store does not count")
    first_reading: datetime | None
    last_reading: datetime | None
    has_temperature: bool | None
    has_model: bool


class MeterList(BaseModel):
    """A page of meters, by type and id."""

    meters: list[MeterAnswer]
    total: int


class HealthAnswer(BaseModel):
    """How the service is."""

    status: str = Field(description="healthy, degraded (no meter store) or unhealthy (no Redis)")
    broker: str = Field(description="connected or disconnected")
    influxdb: str = Field(description="connected, disconnected, or embedded when SQLite serves")
    meter_store: dict[str, str | None]
    version: str


class WorkerHealthAnswer(BaseModel):
    """Who works."""

    status: str = Field(description="healthy, or unhealthy when no worker lives")
    broker_type: str
    workers: list[WorkerInfo]
    queue_depth: int = Field(description="Tasks that wait for a worker")
    message: str | None = Field(None, description="What to do when no worker lives")


class QualityAnswer(QualityReport):
    """The data report of a meter."""

    meter_id: str
    meter_type: str
    unit: str = Field(description="Of all values; empty when unknown")
    timezone: str = Field(description="IANA name; local days are days there")
