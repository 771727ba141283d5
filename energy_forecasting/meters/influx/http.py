"""Speaks HTTP with one InfluxDB and turns every fault into one of our errors.

A call has one deadline for everything: connecting, waiting, reading and trying again. Only
what can pass is tried again, and at most twice: a connection that was refused, reset or cut,
429 and 503. It cannot stop a query inside the server, which may go on after our deadline.

Errors of the libraries below are no causes of ours (``from None``): they repeat what the server
sent, headers and all, and a traceback would show it as it came.
"""

import gzip
import json
import random
import re
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import structlog
from urllib3 import BaseHTTPResponse, PoolManager, Timeout, disable_warnings
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.meters.influx.config import Dialect, InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.faults import FaultReader, MayPass
from energy_forecasting.meters.influx.library_logs import keep_answers_out_of_logs

_ATTEMPTS = 3
_FIRST_WAIT_S = 0.2
_CONNECT_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 16
_CONNECTIONS = 8  #: kept open, one for each thread that asks at the same time
_SUCCESS = range(200, 300)
_VERSION = re.compile(r"[\w.+~-]{1,40}", re.ASCII)  #: what it says is shown to everybody

_log = structlog.get_logger("meters.influxdb")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """What is sent, besides the credentials."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class InfluxHttp:
    """A pool of connections to one InfluxDB; safe to use from several threads."""

    def __init__(self, config: InfluxConfig) -> None:
        keep_answers_out_of_logs()
        self._config = config
        self.faults = FaultReader(config)
        self._pool = PoolManager(
            maxsize=_CONNECTIONS,
            retries=False,
            cert_reqs="CERT_REQUIRED" if config.verify_tls else "CERT_NONE",
            ca_certs=str(config.ca_file) if config.ca_file else None,
        )
        self._writing = threading.Lock()
        self._headers = {"User-Agent": "energy-forecasting", **_authorization(config)}
        if urlsplit(config.url).scheme == "https":
            if not config.verify_tls:
                # Said once, not with each request as urllib3 does.
                disable_warnings(InsecureRequestWarning)
                _log.warning("The certificate of InfluxDB is not checked", url=config.url)
            # In a local network packing costs the server more time than it saves on the way.
            self._headers["Accept-Encoding"] = "gzip"

    def get_once(
        self, path: str, query: Mapping[str, str], *, accept: str, deadline: Deadline
    ) -> bytes:
        """Return the whole answer to a question, asked once.

        Raises:
            MayPass: another attempt may succeed; ``persistently`` makes it.
            AuthenticationFailed, DeadlineExceeded: as the protocol says.
            InvalidRequest: what is asked for does not exist or cannot be asked; the
                configuration must change.
        """
        headers = {"Accept": accept}
        return self._send(_Request(method="GET", path=path, query=query, headers=headers), deadline)

    def write(self, container: str, lines: list[str], deadline: Deadline) -> None:
        """Write lines of line protocol with times in seconds; writing them again is harmless.

        One request at a time: of the first two that reach a new shard of InfluxDB 1.6.7 together,
        one can be accepted and then stay out of sight until the server restarts.

        Args:
            container: bucket or database.
            lines: at most some thousands, as they travel in one request.
            deadline: of this call.

        Raises:
            As ``MeterStore`` says. After an error some of the lines may have been written.
        """
        if self._config.dialect is Dialect.FLUX:
            path = "/api/v2/write"
            query = {"org": self._config.org or "", "bucket": container, "precision": "s"}
        else:
            path, query = "/write", {"db": container, "precision": "s"}
            if self._config.retention_policy is not None and container == self._config.container:
                query["rp"] = self._config.retention_policy
        request = _Request(
            method="POST",
            path=path,
            query=query,
            headers={"Content-Type": "text/plain; charset=utf-8"},
            body="\n".join(lines).encode(),
        )
        if not self._writing.acquire(timeout=deadline.remaining_s):
            raise self.faults.too_late(deadline)
        try:
            self.persistently(lambda: self._send(request, deadline), deadline)
        finally:
            self._writing.release()

    def ping(self, deadline: Deadline) -> str:
        """Return the server's version, ``unknown`` where it does not tell."""
        try:
            response = self._request(_Request(method="GET", path="/ping"), deadline)
            answer = self.read(response, deadline)
        except HTTPError as error:
            fault = self.faults.of_transport(error, deadline)
            raise (fault.error if isinstance(fault, MayPass) else fault) from None
        told = response.headers.get("X-Influxdb-Version") or _version_in(answer)
        is_fit = _VERSION.fullmatch(told) and self.faults.shown(told) == ascii(told)
        return told if is_fit else "unknown"

    def persistently(self, send: Callable[[], _Answer], deadline: Deadline) -> _Answer:
        """Call until it succeeds, at most three times; what cannot pass is raised at once."""
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return send()
            except MayPass as fault:
                asked_s = fault.wait_s
                # Jitter keeps many workers from coming back at the same moment.
                pause_s = wait_s * random.uniform(0.5, 1.5) if asked_s is None else asked_s  # noqa: S311
                wait_s *= 4
                if attempt == _ATTEMPTS or pause_s >= deadline.remaining_s:
                    raise fault.error from fault
                _log.warning("InfluxDB is asked again", attempt=attempt, reason=str(fault))
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def read(self, response: BaseHTTPResponse, deadline: Deadline) -> bytes:
        """Read a whole answer within the deadline, however slowly it drips, and unpack it."""
        answer = bytearray()
        try:
            # Undecoded, as the decoder would go on reading until it has something to give.
            while piece := response.read1(_READ_BYTES, decode_content=False):
                answer += piece
                # The socket's own timeout starts anew with each piece; the deadline does not.
                remaining_s = self.timeouts_s(deadline)[1]
                socket = getattr(response.connection, "sock", None)
                if socket is not None:
                    socket.settimeout(remaining_s)
        except BaseException:
            response.close()  # half an answer is left on the connection
            raise
        response.release_conn()
        if response.headers.get("Content-Encoding") != "gzip":
            return bytes(answer)
        try:
            return gzip.decompress(answer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ConnectionFailed(
                f"InfluxDB at {self._config.url} sent an answer that cannot be unpacked: "
                f"{self.faults.shown(error)}; check what stands between.",
                url=self._config.url,
            ) from None

    def timeouts_s(self, deadline: Deadline) -> tuple[float, float]:
        """Return how long connecting and reading may take from now on.

        Raises:
            DeadlineExceeded: no time is left.
        """
        remaining_s = deadline.remaining_s
        if not remaining_s:
            raise self.faults.too_late(deadline)
        return min(_CONNECT_TIMEOUT_S, remaining_s), remaining_s

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _send(self, request: _Request, deadline: Deadline) -> bytes:
        try:
            response = self._request(request, deadline)
            answer = self.read(response, deadline)
        except HTTPError as error:
            raise self.faults.of_transport(error, deadline) from None
        if response.status not in _SUCCESS:
            raise self.faults.of_refusal(response.status, answer, response.headers)
        return answer

    def _request(self, request: _Request, deadline: Deadline) -> BaseHTTPResponse:
        connect_s, read_s = self.timeouts_s(deadline)
        query = f"?{urlencode(request.query)}" if request.query else ""
        return self._pool.request(
            request.method,
            f"{self._config.url}{request.path}{query}",
            body=request.body,
            headers={**self._headers, **request.headers},
            redirect=False,  # it would carry the credentials elsewhere
            preload_content=False,
            timeout=Timeout(connect=connect_s, read=read_s),
        )


def _version_in(answer: bytes) -> str:
    """Return the version of a JSON answer, as 3.x gives; empty when it tells none."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    return str(told.get("version", "")) if isinstance(told, dict) else ""


def _authorization(config: InfluxConfig) -> dict[str, str]:
    if config.token is not None:
        return {"Authorization": f"Token {config.token.get_secret_value()}"}
    if config.username is None or config.password is None:
        return {}
    pair = f"{config.username}:{config.password.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
