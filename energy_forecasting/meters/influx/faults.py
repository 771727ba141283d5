"""What can go wrong with InfluxDB, as errors of ours that say what to do and tell no secret."""

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
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
from energy_forecasting.meters.influx.discretion import Discretion
from energy_forecasting.meters.influx.tls import advice, asks_for_https

_REDIRECTS = range(300, 400)
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
        self.shown = Discretion(config).shown

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
                f"The url {self.shown(self._url)} of InfluxDB names no host; correct it in the "
                "configuration.",
                field="url",
            )
        reason = self._reason(error)
        return MayPass(
            ConnectionFailed(
                f"InfluxDB at {self._url} cannot be reached: {reason}; check that it runs "
                "and that the url in the configuration is right, from http:// or https:// on.",
                url=self._url,
            )
        )

    def no_trust(self, why: str) -> ConnectionFailed:
        """Explain a TLS connection that could not be made."""
        return ConnectionFailed(
            f"No trusted connection to InfluxDB at {self._url}: {advice(why)} ({self.shown(why)}).",
            url=self._url,
        )

    def of_refusal(
        self, status: int, body: bytes | str | None, headers: Mapping[str, str]
    ) -> MayPass | EnergyForecastingError:
        """Explain an answer whose status is not 2xx."""
        text = _text(body)
        told = _told(text)
        said = told or _first_line(text)
        answer = f"{status}: {self.shown(said)}" if said else f"{status}"
        match status:
            case 401 | 403:
                return self._not_allowed(answer)
            case 404 if told:
                return self._not_there(answer)
            case _ if _NO_POLICY in told:  # a write meets it as a fault of the server
                return self._not_there(answer)
            case 429 | 503:
                return MayPass(
                    ConnectionFailed(
                        f"InfluxDB at {self._url} is too busy to answer ({answer}); try again "
                        "later.",
                        url=self._url,
                        status=status,
                    ),
                    _retry_after_s(headers),
                )
            case _ if status >= 500:  # noqa: PLR2004 - the server's own faults
                return ConnectionFailed(
                    f"InfluxDB at {self._url} failed ({answer}); see its log, then try again.",
                    url=self._url,
                    status=status,
                )
            case _:
                return InvalidRequest(
                    f"InfluxDB at {self._url} refuses the request ({answer}); "
                    f"{self._what_to_check(status, text, headers)}.",
                    field="url",
                    url=self._url,
                    status=status,
                )

    def of_statement(self, told: str) -> MayPass | EnergyForecastingError:
        """Explain an error that InfluxQL reports inside an answer."""
        known, answer = told.lower(), self.shown(told)
        if "authoriz" in known:
            return self._not_allowed(answer)
        if "not found" in known:
            return self._not_there(answer)
        if "max-concurrent-queries" in known:
            return MayPass(
                ConnectionFailed(
                    f"InfluxDB at {self._url} is too busy to answer ({answer}); try again later.",
                    url=self._url,
                )
            )
        if "timeout" in known or "interrupted" in known or "killed" in known:
            return DeadlineExceeded(
                f"InfluxDB at {self._url} ended the query ({answer}); ask for a shorter "
                "span, or raise the limits of the server.",
                url=self._url,
            )
        if "error parsing query" in known or "max-select" in known:
            return InvalidRequest(
                f"InfluxDB at {self._url} refuses the query ({answer}); check the names in "
                "the configuration and the limits of the server.",
                field="influxdb_config",
                url=self._url,
            )
        return ConnectionFailed(
            f"InfluxDB at {self._url} failed ({answer}); see its log, then try again.",
            url=self._url,
        )

    def unreadable(self, answer: object) -> ConnectionFailed:
        """Explain an answer of a form that is not InfluxDB's."""
        return ConnectionFailed(
            f"The answer of InfluxDB at {self._url} cannot be read: {self.shown(answer)}; check "
            "that the url in the configuration leads to InfluxDB and not to a proxy's page.",
            url=self._url,
        )

    def without_flux(self, version: str) -> InvalidRequest:
        """Explain that the configuration asks in Flux a server that does not speak it."""
        return InvalidRequest(
            f"InfluxDB at {self._url} is version {version}; it does not speak Flux: give url, "
            "database and either username and password or token in the configuration.",
            field="influxdb_config",
            version=version,
        )

    def _reason(self, error: HTTPError) -> str:
        if isinstance(error, NewConnectionError):  # refused, or a name that nobody knows
            return self.shown(str(error).partition(": ")[2])
        return "no answer" if isinstance(error, ConnectTimeoutError) else self.shown(error)

    def _not_allowed(self, answer: str) -> AuthenticationFailed:
        config = self._config
        if config.dialect is Dialect.FLUX:
            what = f"bucket {config.bucket} of organization {config.org}"
        else:
            what = f"database {config.database}"
        if config.token is not None:
            who, wanted = "the token", "one"
        elif config.username is not None:
            who, wanted = "user and password", "a user"
        else:
            who, wanted = "to answer without credentials", "username and password, or a token,"
        return AuthenticationFailed(
            f"InfluxDB at {self._url} refuses {who} ({answer}); give {wanted} that may read "
            f"(and, for imports, write) {what}.",
            url=self._url,
        )

    def _not_there(self, answer: str) -> InvalidRequest:
        config = self._config
        if config.dialect is Dialect.FLUX:
            return InvalidRequest(
                f"InfluxDB at {self._url} has no bucket {config.bucket} in organization "
                f"{config.org}, or the token may not see it ({answer}); correct bucket "
                "and org in the configuration.",
                field="bucket",
                bucket=config.bucket,
                org=config.org,
            )
        return InvalidRequest(
            f"InfluxDB at {self._url} does not have what database {config.database} of the "
            f"configuration names ({answer}); correct database and retention_policy (2.x: "
            "map the bucket to a database, influx v1 dbrp create).",
            field="database",
            database=config.database,
        )

    def _what_to_check(self, status: int, told: str, headers: Mapping[str, str]) -> str:
        if asks_for_https(told):
            return "it speaks HTTPS there; write https:// in url"
        if status in _REDIRECTS:
            # Not followed, as it would carry the credentials elsewhere.
            target = self.shown(_origin(headers.get("Location") or ""))
            return f"it points to {target}; write the address that answers in url"
        if "partial write" in told:
            return (
                "it has taken only the points that fit; see to what it names, a field's type or "
                "the retention period, and write them again"
            )
        flux = self._config.dialect is Dialect.FLUX
        speaks = "2.x with Flux" if flux else "with InfluxQL at /query"
        return f"check that the url leads to InfluxDB {speaks}, and the names in the configuration"


def cut_short(rows: int, expected: int) -> ConnectionFailed:
    """Explain an answer that holds fewer rows than were counted."""
    return ConnectionFailed(
        f"InfluxDB sent {rows} of {expected} readings and then ended its answer; see its log for "
        "a query that was killed or met a limit, then try again.",
        rows=rows,
        expected=expected,
    )


def _text(body: bytes | str | None) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""


def _told(body: str) -> str:
    """Return the message of InfluxDB's JSON answer, empty when it is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("message") or answer.get("error") or "")


def _first_line(body: str) -> str:
    """Return what a server said in plain words, as one that wants https does; no HTML."""
    line, _, _ = body.strip().partition("\n")
    return "" if line.startswith("<") else line


def _origin(location: str) -> str:
    """Return scheme, host and port of an address; the rest may hold credentials."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "itself"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    asked = str(headers.get("Retry-After") or "")
    return float(asked) if asked.isascii() and asked.isdecimal() else None
