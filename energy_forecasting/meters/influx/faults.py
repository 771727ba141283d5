"""What can go wrong with InfluxDB, as errors of ours that say what to do and tell no secret."""

import json
from collections.abc import Mapping

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    ReadTimeoutError,
    SSLError,
)

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeadlineExceeded,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.meters.influx.config import Dialect, InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline

_SHOWN_CHARACTERS = 200
_NO_POLICY = "retention policy not found"


class MayPass(Exception):
    """A fault that another attempt may not meet."""

    def __init__(self, error: EnergyForecastingError, wait_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_s = wait_s  # as the server asks


class FaultReader:
    """Explains the faults of one configured InfluxDB."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._url = config.url

    def too_late(self, deadline: Deadline) -> DeadlineExceeded:
        """Explain a deadline that has passed."""
        return DeadlineExceeded(
            f"InfluxDB at {self._url} did not answer within {deadline.seconds:g} s; "
            "ask for a shorter span or raise timeout_s in the configuration.",
            timeout_s=deadline.seconds,
        )

    def of_transport(
        self, error: HTTPError, deadline: Deadline
    ) -> MayPass | EnergyForecastingError:
        """Explain why no answer came, or only a part of one."""
        if isinstance(error, ReadTimeoutError) or not deadline.remaining_s:
            return self.too_late(deadline)
        if isinstance(error, SSLError):
            return self.no_trust(str(error))
        if isinstance(error, LocationParseError):
            return InvalidRequest(
                f"The url {shown(self._url)} of InfluxDB names no host; correct it in the "
                "configuration.",
                field="url",
            )
        reason = "no answer" if isinstance(error, ConnectTimeoutError) else shown(error)
        return MayPass(
            ConnectionFailed(
                f"InfluxDB at {self._url} cannot be reached: {reason}; check that it runs "
                "and that the url in the configuration is right.",
                url=self._url,
            )
        )

    def no_trust(self, why: str) -> ConnectionFailed:
        """Explain a TLS connection that could not be made."""
        return ConnectionFailed(
            f"No trusted connection to InfluxDB at {self._url}: {shown(why)}; check its "
            "certificate and ca_file.",
            url=self._url,
        )

    def of_refusal(
        self, status: int, body: bytes | str | None, headers: Mapping[str, str]
    ) -> MayPass | EnergyForecastingError:
        """Explain an answer whose status is not 2xx."""
        told = _told(body)
        match status:
            case 401 | 403:
                return self._not_allowed(told)
            case 404 if told:
                return self._not_there(told)
            case _ if _NO_POLICY in told:  # a write meets it as a fault of the server
                return self._not_there(told)
            case 429 | 503:
                return MayPass(
                    ConnectionFailed(
                        f"InfluxDB at {self._url} is too busy to answer ({status}); "
                        "try again later.",
                        url=self._url,
                        status=status,
                    ),
                    _retry_after_s(headers),
                )
            case _ if status >= 500:  # noqa: PLR2004 - the server's own faults
                return ConnectionFailed(
                    f"InfluxDB at {self._url} failed ({status}: {shown(told)}); see its log, "
                    "then try again.",
                    url=self._url,
                    status=status,
                )
            case _:
                return InvalidRequest(
                    f"InfluxDB at {self._url} refuses the request "
                    f"({status}: {shown(told or _first_line(body))}); "
                    f"check that the url leads to InfluxDB {self._versions()}, and the names in "
                    "the configuration.",
                    field="url",
                    url=self._url,
                    status=status,
                )

    def of_statement(self, told: str) -> MayPass | EnergyForecastingError:
        """Explain an error that InfluxQL reports inside an answer."""
        known = told.lower()
        if "authoriz" in known:
            return self._not_allowed(told)
        if "not found" in known:
            return self._not_there(told)
        if "max-concurrent-queries" in known:
            return MayPass(
                ConnectionFailed(
                    f"InfluxDB at {self._url} is too busy to answer ({shown(told)}); try again "
                    "later.",
                    url=self._url,
                )
            )
        if "timeout" in known or "interrupted" in known or "killed" in known:
            return DeadlineExceeded(
                f"InfluxDB at {self._url} ended the query ({shown(told)}); ask for a shorter "
                "span, or raise the limits of the server.",
                url=self._url,
            )
        if "error parsing query" in known or "max-select" in known:
            return InvalidRequest(
                f"InfluxDB at {self._url} refuses the query ({shown(told)}); check the names in "
                "the configuration and the limits of the server.",
                field="influxdb_config",
                url=self._url,
            )
        return ConnectionFailed(
            f"InfluxDB at {self._url} failed ({shown(told)}); see its log, then try again.",
            url=self._url,
        )

    def wrong_version(self, version: str) -> InvalidRequest:
        """Explain that the form of the configuration does not fit the server."""
        advice = (
            "it does not speak Flux: give url, database and either username and password or token"
            if self._config.dialect is Dialect.FLUX
            else "give url, token, org and bucket"
        )
        return InvalidRequest(
            f"InfluxDB at {self._url} is version {shown(version)}; {advice} in the configuration.",
            field="influxdb_config",
            version=version,
        )

    def _not_allowed(self, told: str) -> AuthenticationFailed:
        config = self._config
        if config.dialect is Dialect.FLUX:
            who, what = "token", f"bucket {config.bucket} of organization {config.org}"
        else:
            who = "user and password" if config.token is None else "token"
            what = f"database {config.database}"
        return AuthenticationFailed(
            f"InfluxDB at {self._url} refuses the {who} ({shown(told)}); give one that may read "
            f"(and, for imports, write) {what}.",
            url=self._url,
        )

    def _not_there(self, told: str) -> InvalidRequest:
        config = self._config
        if config.dialect is Dialect.FLUX:
            return InvalidRequest(
                f"InfluxDB at {self._url} has no bucket {config.bucket} in organization "
                f"{config.org}, or the token may not see it ({shown(told)}); correct bucket "
                "and org in the configuration.",
                field="bucket",
                bucket=config.bucket,
                org=config.org,
            )
        return InvalidRequest(
            f"InfluxDB at {self._url} does not have what database {config.database} of the "
            f"configuration names ({shown(told)}); correct database and retention_policy (2.x: "
            "map the bucket to a database, influx v1 dbrp create).",
            field="database",
            database=config.database,
        )

    def _versions(self) -> str:
        return (
            "2.x with Flux" if self._config.dialect is Dialect.FLUX else "with InfluxQL at /query"
        )


def shown(text: object) -> str:
    """Quote what the server says: escaped and cut, so that it cannot forge a log line."""
    return ascii(str(text)[:_SHOWN_CHARACTERS])


def _told(body: bytes | str | None) -> str:
    """Return the message of InfluxDB's JSON answer, empty when it is none."""
    try:
        answer = json.loads(body or "")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("message") or answer.get("error") or "")


def _first_line(body: bytes | str | None) -> str:
    """Return what a server said in plain words, as one that wants https does; no HTML."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    line, _, _ = text.strip().partition("\n")
    return "" if line.startswith("<") else line


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    asked = str(headers.get("Retry-After") or "")
    return float(asked) if asked.isascii() and asked.isdecimal() else None
