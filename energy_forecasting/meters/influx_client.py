"""Sends Flux queries to InfluxDB 2.x and turns every fault into one of our errors.

A call has one deadline for everything: connecting, waiting, reading and trying again. Only
what can pass is tried again, and at most twice: a connection that was refused, reset or cut,
429 and 503. It cannot stop a query inside the server, which may go on after our deadline.
"""

import gzip
import json
import random
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import structlog
from influxdb_client import Dialect, InfluxDBClient, Query
from influxdb_client.rest import ApiException
from influxdb_client.service import PingService, QueryService
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeadlineExceeded,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.meters.influx_config import InfluxConfig

_ATTEMPTS = 3
_FIRST_WAIT_S = 0.2
_CONNECT_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 16
_SHOWN_CHARACTERS = 200
_DIALECT = Dialect(
    header=True,
    delimiter=",",
    comment_prefix="#",
    annotations=["datatype", "group", "default"],
    date_time_format="RFC3339",
)

_log = structlog.get_logger("meters.influxdb")


class _Response(Protocol):
    """What we use of urllib3's response."""

    connection: Any
    headers: Mapping[str, str]

    def read1(self, amount: int, *, decode_content: bool) -> bytes: ...
    def release_conn(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a call gives up."""

    seconds: float  #: allowed for the whole call
    started: float = field(default_factory=time.monotonic)

    @property
    def remaining_s(self) -> float:
        """Seconds left; never below zero."""
        return max(0.0, self.started + self.seconds - time.monotonic())


class _MayPassError(Exception):
    """A fault that another attempt may not meet."""

    def __init__(self, error: EnergyForecastingError, wait_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s  # as the server asks


class InfluxClient:
    """A pool of connections to one InfluxDB; safe to use from several threads."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._client = InfluxDBClient(
            url=config.url,
            token=config.token.get_secret_value(),
            org=config.org,
            enable_gzip=True,
            verify_ssl=config.verify_tls,
            ssl_ca_cert=str(config.ca_file) if config.ca_file else None,
            retries=False,
        )

    def query(self, flux: str, deadline: Deadline) -> bytes:
        """Run a query and return the whole answer, an annotated CSV.

        Raises:
            ConnectionFailed, AuthenticationFailed, DeadlineExceeded: as the protocol says.
            InvalidRequest: the organization or bucket does not exist, or the query is refused;
                the configuration must change.
        """
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._query_once(flux, deadline)
            except _MayPassError as fault:
                asked_s = fault.wait_s
                # Jitter keeps many workers from coming back at the same moment.
                pause_s = wait_s * random.uniform(0.5, 1.5) if asked_s is None else asked_s  # noqa: S311
                wait_s *= 4
                if attempt == _ATTEMPTS or pause_s >= deadline.remaining_s:
                    raise fault.error from fault
                _log.warning("InfluxDB is asked again", attempt=attempt, reason=str(fault))
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def ping(self, deadline: Deadline) -> str:
        """Return the server's version, ``unknown`` where it does not tell; needs no token."""
        try:
            _, _, headers = PingService(self._client.api_client).get_ping_with_http_info(
                _request_timeout=self._timeout_ms(deadline), urlopen_kw={"redirect": False}
            )
        except (HTTPError, ApiException) as error:
            try:
                self._raise_explained(error, deadline)
            except _MayPassError as fault:
                raise fault.error from fault
        return str(headers.get("X-Influxdb-Version") or "unknown")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _query_once(self, flux: str, deadline: Deadline) -> bytes:
        try:
            response = QueryService(self._client.api_client).post_query(
                org=self._config.org,
                query=Query(query=flux, dialect=_DIALECT),
                _preload_content=False,
                _request_timeout=self._timeout_ms(deadline),
                urlopen_kw={"redirect": False},
            )
            return self._read(response, deadline)
        except (HTTPError, ApiException) as error:
            self._raise_explained(error, deadline)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ConnectionFailed(
                f"InfluxDB at {self._config.url} sent an answer that cannot be unpacked: "
                f"{_shown(error)}; check what stands between.",
                url=self._config.url,
            ) from error

    def _read(self, response: _Response, deadline: Deadline) -> bytes:
        answer = bytearray()
        try:
            # Undecoded, as the decoder would go on reading until it has something to give.
            while piece := response.read1(_READ_BYTES, decode_content=False):
                answer += piece
                # The socket's own timeout starts anew with each piece; the deadline does not.
                _, remaining_ms = self._timeout_ms(deadline)
                socket = getattr(response.connection, "sock", None)
                if socket is not None:
                    socket.settimeout(remaining_ms / 1000)
        except BaseException:
            response.close()  # half an answer is left on the connection
            raise
        response.release_conn()
        if response.headers.get("Content-Encoding") == "gzip":
            return gzip.decompress(answer)
        return bytes(answer)

    def _timeout_ms(self, deadline: Deadline) -> tuple[float, float]:
        remaining_ms = deadline.remaining_s * 1000
        if not remaining_ms:
            raise self._too_late(deadline)
        return min(_CONNECT_TIMEOUT_S * 1000, remaining_ms), remaining_ms

    def _too_late(self, deadline: Deadline) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"InfluxDB at {self._config.url} did not answer within {deadline.seconds:g} s; "
            "ask for a shorter span or raise timeout_s in the configuration.",
            timeout_s=deadline.seconds,
        )

    def _raise_explained(self, error: HTTPError | ApiException, deadline: Deadline) -> NoReturn:
        """Turn a fault of the transport or a refusal into one of our errors."""
        if isinstance(error, ApiException) and error.status:
            self._raise_refusal(error)
        if isinstance(error, ReadTimeoutError) or not deadline.remaining_s:
            raise self._too_late(deadline) from error
        if isinstance(error, ApiException):  # status 0 is how the client wraps a TLS fault
            raise ConnectionFailed(
                f"No trusted connection to InfluxDB at {self._config.url}: "
                f"{_shown(error.reason)}; check its certificate and ca_file.",
                url=self._config.url,
            ) from error
        reason = "no answer" if isinstance(error, ConnectTimeoutError) else _shown(error)
        raise _MayPassError(
            ConnectionFailed(
                f"InfluxDB at {self._config.url} cannot be reached: {reason}; check that it runs "
                "and that the url in the configuration is right.",
                url=self._config.url,
            )
        ) from error

    def _raise_refusal(self, error: ApiException) -> NoReturn:
        config, told = self._config, _told(error.body)
        match error.status:
            case 401 | 403:
                raise AuthenticationFailed(
                    f"InfluxDB at {config.url} refuses the token ({_shown(told)}); give one that "
                    f"may read bucket {config.bucket} of organization {config.org}.",
                    url=config.url,
                ) from error
            case 404 if told:
                raise InvalidRequest(
                    f"InfluxDB at {config.url} has no bucket {config.bucket} in organization "
                    f"{config.org}, or the token may not see it ({_shown(told)}); correct bucket "
                    "and org in the configuration.",
                    field="bucket",
                    bucket=config.bucket,
                    org=config.org,
                ) from error
            case 429 | 503:
                raise _MayPassError(
                    ConnectionFailed(
                        f"InfluxDB at {config.url} is too busy to answer ({error.status}); "
                        "try again later.",
                        url=config.url,
                        status=error.status,
                    ),
                    _retry_after_s(error),
                ) from error
            case status if status >= 500:  # noqa: PLR2004 - the server's own faults
                raise ConnectionFailed(
                    f"InfluxDB at {config.url} failed ({status}: {_shown(told)}); see its log, "
                    "then try again.",
                    url=config.url,
                    status=status,
                ) from error
            case status:
                raise InvalidRequest(
                    f"InfluxDB at {config.url} refuses the query ({status}: {_shown(told)}); "
                    "check that the url leads to InfluxDB 2.x with Flux, and the names in the "
                    "configuration.",
                    field="url",
                    url=config.url,
                    status=status,
                ) from error


def _told(body: bytes | str | None) -> str:
    """Return the message of InfluxDB's JSON answer, empty when it is none."""
    try:
        answer = json.loads(body or "")
    except ValueError:
        return ""
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""


def _retry_after_s(error: ApiException) -> float | None:
    asked = str((error.headers or {}).get("Retry-After") or "")
    return float(asked) if asked.isdecimal() else None


def _shown(text: object) -> str:
    """Quote what the server says: escaped and cut, so that it cannot forge a log line."""
    return ascii(str(text)[:_SHOWN_CHARACTERS])
