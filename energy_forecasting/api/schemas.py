"""Bodies of requests and answers; their descriptions and examples are the OpenAPI document."""

from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    model_validator,
)

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.meters import METER_ID_PATTERN, METER_TYPE_PATTERN
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard, Skill
from energy_forecasting.domain.monitoring import LiveRecord
from energy_forecasting.domain.quality import QualityReport
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES
from energy_forecasting.domain.stages import Stage
from energy_forecasting.meters.ingestion.report import REJECTIONS_TOLD
from energy_forecasting.tasks.batch_record import BatchRecord
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.workers import WorkerInfo

#: More in one request would take Redis and the worker's list too long.
LARGEST_BATCH = 10_000
LONGEST_DEADLINE_S = 7 * 24 * 3600

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


#: For the OpenAPI document of routes that start trainings.
RATE_LIMITED: dict[int | str, dict[str, Any]] = {
    429: {
        "model": ErrorAnswer,
        "description": "The trainings of this hour are used up; `Retry-After` tells when one is "
        "free",
    }
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


class TrainingChoices(BaseModel):
    """How to train."""

    tuning: TuningRequest | None = Field(None, description="Left out: TUNING_MAX_TRIALS applies")
    deadline_s: float | None = Field(
        None,
        ge=1,
        le=LONGEST_DEADLINE_S,
        description="Seconds that one attempt may take from the moment a worker picks it up; then "
        "it is stopped (TIMEOUT_ERROR). Left out: TRAINING_DEADLINE_S applies",
    )
    force: bool = Field(
        default=False,
        description="Cancel the meter's open task, if there is one, and start anew",
    )


class TrainRequest(MeterRequest, TrainingChoices):
    """A wish to train a meter."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_METER]})


class BatchRequest(TrainingChoices):
    """A wish to train many meters: those listed, or all of a type that the store holds."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"meters": [EXAMPLE_METER]}, {"meter_type": "water"}]}
    )

    meters: list[MeterRequest] | None = Field(None, min_length=1, max_length=LARGEST_BATCH)
    meter_type: str | None = Field(
        None,
        description="All meters of this type; instead of `meters`",
        json_schema_extra={"pattern": METER_TYPE_PATTERN},
    )

    @model_validator(mode="after")
    def _names_meters_once(self) -> Self:
        if (self.meters is None) == (self.meter_type is None):
            raise ValueError("give either meters or meter_type")
        return self


class ReplayRequest(BaseModel):
    """Which dead letters are tried again; without any field all of them."""

    error_type: str | None = Field(
        None, max_length=64, description="Only those that failed so", examples=["CONNECTION_ERROR"]
    )
    meter_type: str | None = Field(None, max_length=64, description="Only meters of this type")


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


class BatchTask(BaseModel):
    """One meter of a batch request: its task, or why it has none."""

    meter_id: str
    meter_type: str
    task_id: str | None = None
    deduplicated: bool = Field(
        default=False, description="The meter already had an open task, and this is that task"
    )
    error: ErrorBody | None = Field(None, description="Why the meter was not accepted")


class BatchAnswer(BaseModel):
    """What became of each meter of a batch request."""

    batch_id: str = Field(description="For GET and DELETE /trainmodel/batch/{batch_id}")
    accepted: int = Field(description="Meters that have a task now, deduplicated ones included")
    deduplicated: int
    rejected: int
    tasks: list[BatchTask] = Field(description="In the order asked for")


class BatchTasks(BaseModel):
    """A page of a batch's tasks, in the order asked for."""

    tasks: list[TaskRecord]
    cursor: int | None = Field(
        None, description="Pass it as ?cursor= for the next page; absent at the end"
    )


class BatchCancelled(BaseModel):
    """What became of a batch that was cancelled."""

    batch: BatchRecord
    cancelled: int = Field(description="Tasks that were ended by this call")
    left_running: int = Field(
        description="Open tasks that another request had asked for before; they go on"
    )


class DeadLetterList(BaseModel):
    """A page of failed trainings that nobody has mended yet, the latest first."""

    tasks: list[TaskRecord]
    total: int = Field(description="All dead letters, whatever was asked for")
    cursor: str | None = Field(
        None, description="Pass it as ?cursor= for the next page; absent at the end"
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
        description="Hours from the last reading on; 168 when neither this nor dates are given. "
        "Rounded up to whole steps",
    )
    start_date: AwareDatetime | date | None = Field(
        None,
        description="First step: a day in the meter's time zone, or a moment with an offset. "
        "In the past: the forecast uses only readings before it, so it can be compared",
    )
    end_date: AwareDatetime | date | None = Field(
        None, description="Last day (included), or the moment at which the forecast ends"
    )
    quantiles: list[float] = Field(
        list(QUANTILE_LEVELS), min_length=1, max_length=99, description="Levels from 0.01 to 0.99"
    )
    temperature: list[FiniteFloat | None] | None = Field(
        None,
        max_length=MAX_HORIZON_HOURS,
        description="Degrees Celsius hour by hour from the first hour asked for, as a weather "
        "forecast gives them; it may end early, and null is an hour not known. Gaps up to 6 hours "
        "are interpolated. Left out: the meter store's temperature forecast is used if it has "
        "one. Hours without a temperature are answered half by the part of the model that does "
        "without, half on what the meter's own last fortnight lets expect, in wider intervals",
    )
    resolution_minutes: int | None = Field(
        None,
        description="Step of the answer: 60, or finer where the meter's readings are at least as "
        "fine. A meter that is read less than hourly answers in its own steps. Left out: 60, or "
        "the meter's own step where that is longer",
        json_schema_extra={"enum": [*SUPPORTED_MINUTES, None]},
    )
    explain: bool = Field(
        default=False,
        description="Also tell what drives the forecast: each point's contributions and a summary "
        "in sentences; for steps of an hour or longer",
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
    """One step of the past."""

    timestamp: datetime = Field(description="Start of the step, UTC")
    consumption: float | None = Field(description="null where the reading is missing")


class ForecastPoint(BaseModel):
    """One step ahead."""

    timestamp: datetime = Field(description="Start of the step, UTC")
    consumption: float = Field(description="The median forecast, in the meter's unit")
    quantiles: dict[str, float] = Field(description="Level to value; ascending, ordered")


class ExplainedPoint(ForecastPoint):
    """One hour ahead and what drives it."""

    contributions: dict[str, float] = Field(
        description="Key of a group to its part of ``consumption``, in the meter's unit. The first "
        "is where the forecast starts from, the others raise or lower it; they add up to "
        "``consumption``"
    )


class GroupContribution(BaseModel):
    """What one group contributes over all hours of the forecast, in the meter's unit."""

    group: str = Field(description="Key in each point's contributions")
    name: str
    mean: float = Field(description="Mean contribution: what it adds or takes away altogether")
    mean_absolute: float = Field(description="Mean size: how much it moves single hours")


class ForecastExplanation(BaseModel):
    """What drives the median forecast: what the model leans on, which need not be a cause."""

    sentences: list[str] = Field(
        description="The forecast against the usual week, then what matters, strongest first"
    )
    groups: list[GroupContribution] = Field(
        description="Where the forecast starts from, then the groups, largest first"
    )


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
    resolution_minutes: float = Field(description="Step of history and forecast")
    origin: datetime = Field(
        description="The model knows the readings before this moment, a whole hour; a finer "
        "forecast starts later, with the first step that is not known"
    )
    horizon_hours: int = Field(description="Hours that the model forecast, from origin on")
    last_reading: datetime
    model: ForecastModel
    temperature_source: TemperatureSource = Field(
        description="Where the temperature of the hours ahead came from: request or store (for "
        "every hour), partial (for temperature_hours of them), unused (not known, or not needed)"
    )
    temperature_hours: int = Field(description="Hours whose forecast used a temperature")
    degraded: bool = Field(description="Trust it less; degraded_reason says why")
    degraded_reason: str | None
    calibration: LiveRecord | None = Field(
        description="How the model has done on the readings since its training, which the "
        "intervals follow; null as long as none has come"
    )
    quantile_levels: list[float]
    history: list[HistoryPoint]
    forecast: list[ForecastPoint]


class ExplainedForecastAnswer(ForecastAnswer):
    """The answer to a request with ``explain``."""

    explanation: ForecastExplanation
    forecast: list[ExplainedPoint]  # type: ignore[assignment]  # pydantic reads it only


class ModelList(BaseModel):
    """The champions."""

    models: list[ModelCard]


class ModelVersions(BaseModel):
    """One meter's champion and the versions kept."""

    champion: ModelCard
    versions: list[ModelCard] = Field(description="Newest first, the champion among them")


class MonitoringAnswer(BaseModel):
    """How a champion has done since its training."""

    meter_id: str
    meter_type: str
    version: str
    method: ForecastMethod
    unit: str
    trained_until: datetime = Field(description="The last reading that the model learnt from")
    last_reading: datetime
    calibration: LiveRecord | None = Field(
        description="Without a temperature ahead, as the API serves by default; null as long as "
        "no reading has come since the training"
    )
    calibration_known_temperature: LiveRecord | None = Field(
        description="With the measured temperature ahead, which flatters; null where the model "
        "uses none"
    )
    advice: str | None = Field(description="What to do when last week's values serve better")


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
    resolution_minutes: float | None = Field(
        description="Step of the readings: as declared, else, where one meter is described, as "
        "found in its last weeks; null when unknown"
    )
    readings: int | None = Field(description="null when the store does not count")
    first_reading: datetime | None
    last_reading: datetime | None
    has_temperature: bool | None
    has_model: bool


class MeterList(BaseModel):
    """A page of meters, by type and id."""

    meters: list[MeterAnswer]
    total: int


class RejectionAnswer(BaseModel):
    """A line or an item that was left out."""

    line: int | None = Field(None, description="Of a CSV, counted from 1 with the header")
    index: int | None = Field(None, description="Of an item in the JSON list, counted from 0")
    reason: str


class ReadingsAnswer(BaseModel):
    """What became of the readings of a body; accepted and rejected add up to its items."""

    meter_id: str
    meter_type: str
    accepted: int = Field(
        description="Usable: written, duplicates and forecast_temperatures together"
    )
    written: int = Field(description="Readings that are now in the meter store, new or as before")
    duplicates: int = Field(description="Left out, as a later one has the same moment")
    forecast_temperatures: int = Field(
        description="Temperatures without a consumption after the last reading, kept as a forecast"
    )
    rejected: int
    rejections: list[RejectionAnswer] = Field(description=f"The first {REJECTIONS_TOLD} of them")


class HealthSummary(BaseModel):
    """All that a caller without a key is told, where keys are asked for."""

    status: str = Field(description="healthy, degraded (no meter store) or unhealthy (no Redis)")
    authentication: Literal["on", "off"] = Field(description="Whether calls need an API key")


class HealthAnswer(HealthSummary):
    """How the service is."""

    broker: str = Field(description="connected or disconnected")
    influxdb: str = Field(description="connected, disconnected, or embedded when SQLite serves")
    meter_store: dict[str, str | None]
    version: str


class WorkerHealthSummary(BaseModel):
    """All that a caller without a key is told, where keys are asked for."""

    status: str = Field(description="healthy, or unhealthy when no worker lives")
    authentication: Literal["on", "off"] = Field(description="Whether calls need an API key")


class WorkerHealthAnswer(WorkerHealthSummary):
    """Who works."""

    broker_type: str
    workers: list[WorkerInfo]
    queue_depth: int = Field(description="Tasks that wait for a worker")
    queue_depth_by_lane: dict[str, int] = Field(
        description="Of these, single requests and those of batches"
    )
    dead_letters: int = Field(description="Failed trainings that nobody has mended yet")
    reconciled: dict[str, int] = Field(
        description="How often what has been mended after a lost worker, message or answer"
    )
    message: str | None = Field(None, description="What to do when no worker lives")


class QualityAnswer(QualityReport):
    """The data report of a meter."""

    meter_id: str
    meter_type: str
    unit: str = Field(description="Of all values; empty when unknown")
    timezone: str = Field(description="IANA name; local days are days there")
