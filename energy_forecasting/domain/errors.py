"""One tree of errors, each with a stable code, a retry policy and an HTTP status.

::

    EnergyForecastingError
    ├── InvalidRequest         INVALID_REQUEST      422   bad meter id, horizon or body
    │   ├── BodyTooLarge       INVALID_REQUEST      413   a body over its limit
    │   └── UnsupportedBody    INVALID_REQUEST      415   a body of a kind that is not read
    ├── Unauthenticated        UNAUTHENTICATED      401   no API key, or not a valid one
    ├── Forbidden              FORBIDDEN            403   the key's scope does not reach so far
    ├── RateLimited            RATE_LIMITED         429   trainings of this hour are used up
    ├── KeysUnreadable         KEYS_UNREADABLE      503   the file of API keys cannot be read
    ├── NotFound               NOT_FOUND            404   unknown task, meter or model
    ├── Conflict               CONFLICT             409   the task has already ended
    ├── ConnectionFailed       CONNECTION_ERROR     503   InfluxDB or Redis cannot be reached
    ├── AuthenticationFailed   AUTHENTICATION_ERROR 502   the store refuses the credentials
    ├── DeadlineExceeded       TIMEOUT_ERROR        504   a query or training over its deadline
    ├── NoDataFound            NO_DATA_FOUND        404   the meter has no readings
    ├── InsufficientData       INSUFFICIENT_DATA    422   too little history
    ├── DataQualityError       DATA_QUALITY_ERROR   422   constant, non-numeric, mostly missing
    ├── TrainerOutOfMemory     MEMORY_ERROR         500   the trainer ran out of memory
    ├── TrainingFailed         TRAINING_ERROR       500   divergence or a bug
    ├── StorageFailed          STORAGE_ERROR        507   an artifact could not be written or read
    ├── WorkerLost             WORKER_LOST          500   the worker died with this task
    └── Cancelled              CANCELLED            409   by request

The message is a sentence for the operator: what happened, to which meter, what to do next.
``details`` are attributes for programs, never text to parse and never a secret.
"""

from typing import ClassVar


class EnergyForecastingError(Exception):
    """Base of every error that the system raises on purpose."""

    #: Stable code that clients compare.
    error_type: ClassVar[str] = "INTERNAL_ERROR"
    #: How many further attempts can help; 0 when a retry would fail the same way.
    max_retries: ClassVar[int] = 0
    #: Status of an HTTP answer that carries this error.
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[object, ...]:
        """Keep ``details`` when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.message, self.details))

    @property
    def retryable(self) -> bool:
        """Whether trying again can help."""
        return self.max_retries > 0

    def to_details(self) -> dict[str, object]:
        """Return the ``error_details`` of a task record: type, retryable and the details."""
        return {"type": self.error_type, "retryable": self.retryable, **self.details}


def _rebuild(
    kind: type[EnergyForecastingError], message: str, details: dict[str, object]
) -> EnergyForecastingError:
    return kind(message, **details)


class InvalidRequest(EnergyForecastingError):
    """A request that can never succeed as written; ``field`` names the part to change."""

    error_type = "INVALID_REQUEST"
    http_status = 422


class BodyTooLarge(InvalidRequest):
    """The body of a request is larger than the settings allow."""

    http_status = 413


class UnsupportedBody(InvalidRequest):
    """The body of a request has a content type or an encoding that is not read."""

    http_status = 415


class Unauthenticated(EnergyForecastingError):
    """The caller shows no API key, or one that is not valid."""

    error_type = "UNAUTHENTICATED"
    http_status = 401


class Forbidden(EnergyForecastingError):
    """The caller's key is valid, but its scope does not reach so far."""

    error_type = "FORBIDDEN"
    http_status = 403


class RateLimited(EnergyForecastingError):
    """The caller has started as many trainings in the last hour as it may."""

    error_type = "RATE_LIMITED"
    max_retries = 1
    http_status = 429


class KeysUnreadable(EnergyForecastingError):
    """The file of API keys cannot be read, so nobody can be told from anybody."""

    error_type = "KEYS_UNREADABLE"
    http_status = 503


class NotFound(EnergyForecastingError):
    """The task, meter or model that a client names does not exist."""

    error_type = "NOT_FOUND"
    http_status = 404


class Conflict(EnergyForecastingError):
    """The request contradicts the present state, as cancelling a finished task does."""

    error_type = "CONFLICT"
    http_status = 409


class ConnectionFailed(EnergyForecastingError):
    """InfluxDB or Redis refused, reset or could not be resolved."""

    error_type = "CONNECTION_ERROR"
    max_retries = 3
    http_status = 503


class AuthenticationFailed(EnergyForecastingError):
    """The meter store refused the credentials."""

    error_type = "AUTHENTICATION_ERROR"
    http_status = 502


class DeadlineExceeded(EnergyForecastingError):
    """A query or a training ran over its deadline."""

    error_type = "TIMEOUT_ERROR"
    max_retries = 1
    http_status = 504


class NoDataFound(EnergyForecastingError):
    """The meter store holds no reading for the meter in the span asked."""

    error_type = "NO_DATA_FOUND"
    http_status = 404


class InsufficientData(EnergyForecastingError):
    """There is some history, but less than training or forecasting needs."""

    error_type = "INSUFFICIENT_DATA"
    http_status = 422


class DataQualityError(EnergyForecastingError):
    """The history cannot teach anything, or is worse than the operator's limits allow."""

    error_type = "DATA_QUALITY_ERROR"
    http_status = 422


class TrainerOutOfMemory(EnergyForecastingError):
    """The trainer process exceeded its memory limit or was killed."""

    error_type = "MEMORY_ERROR"
    max_retries = 1


class TrainingFailed(EnergyForecastingError):
    """Training diverged or met a bug; the traceback is in the log, not here."""

    error_type = "TRAINING_ERROR"


class StorageFailed(EnergyForecastingError):
    """An artifact could not be written or read: disk full, permission, damaged file."""

    error_type = "STORAGE_ERROR"
    max_retries = 3
    http_status = 507


class WorkerLost(EnergyForecastingError):
    """The worker died with this task as often as is tolerated."""

    error_type = "WORKER_LOST"


class Cancelled(EnergyForecastingError):
    """The task was cancelled by request."""

    error_type = "CANCELLED"
    http_status = 409
