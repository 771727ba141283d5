"""From an address to a trusted connection: names, ports, certificates; nothing of InfluxDB yet.

Each step is tried by itself, so that a wrong name, a closed port and a certificate that nobody
trusts are told apart. Proxies are not used, as the service itself uses none.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.util import create_urllib3_context

from energy_forecasting.doctor.finding import Finding, Step, bad, care, good
from energy_forecasting.doctor.wording import day, plain

_TIMEOUT_S = 5.0
_WARN_DAYS = 14
_PORTS = {"http": 80, "https": 443}
_CERTIFICATE_HAS_EXPIRED = 10
_HOSTNAME_MISMATCH = 62
_OWN_LOCALHOST = (
    "Inside a container localhost is the container itself: name the other container's service, or "
    "host.docker.internal, there."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where InfluxDB is said to be."""

    url: str
    verify_tls: bool = True
    ca_file: Path | None = None

    @property
    def host(self) -> str:
        """Name or number of the machine."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, that of the scheme if the url names none."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def is_https(self) -> bool:
        """Whether it is to be reached by TLS."""
        return urlsplit(self.url).scheme == "https"


def reach(address: Address) -> Iterator[Finding]:
    """Yield what was found on the way; the last one is bad when there is no connection."""
    found = _resolved(address.host, address.port)
    if isinstance(found, Finding):
        yield found
        return
    try:
        with socket.create_connection((address.host, address.port), _TIMEOUT_S) as connection:
            yield good(Step.HOST, f"{address.host} answers on port {address.port}.")
            if address.is_https:
                yield _shaken(address, connection)
    except OSError as error:
        yield _unreached(address, error)


def speaks_tls(address: Address) -> bool:
    """Tell whether a port shakes hands by TLS, with whatever certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), _TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=address.host),
        ):
            return True
    except OSError:
        return False


def _resolved(host: str, port: int) -> Finding | list[object]:
    """Look the host up, within seconds; the system's resolver may take minutes."""
    answer: list[object] = []
    fault: list[OSError] = []

    def look_up() -> None:
        try:
            answer.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            fault.append(error if isinstance(error, OSError) else OSError(str(error)))

    looking = threading.Thread(target=look_up, daemon=True)
    looking.start()
    looking.join(_TIMEOUT_S)
    if answer:
        return answer
    why = "nobody answered the question" if looking.is_alive() else "no such name is known"
    return bad(
        Step.HOST,
        f"The host {plain(host)} cannot be resolved: {why}.",
        f"Check the spelling of the url. {_OWN_LOCALHOST}",
    )


def _unreached(address: Address, error: OSError) -> Finding:
    where = f"{plain(address.host)}, port {address.port}"
    if isinstance(error, ConnectionRefusedError):
        return bad(
            Step.HOST,
            f"Nothing listens at {where}: the connection is refused.",
            "Start InfluxDB, or correct the url; 1.x and 2.x listen on port 8086, 3.x on 8181 "
            f"unless told otherwise. {_OWN_LOCALHOST}",
        )
    if isinstance(error, TimeoutError):
        return bad(
            Step.HOST,
            f"No answer from {where} within {_TIMEOUT_S:g} s.",
            "Check the address, and firewalls between this machine and that one.",
        )
    return bad(
        Step.HOST,
        f"No connection to {where}: {plain(error.strerror or error)}.",
        "Check the address and the network.",
    )


def _shaken(address: Address, connection: socket.socket) -> Finding:
    """Shake hands by TLS as the service will, and judge the certificate."""
    if not address.verify_tls:
        return care(
            Step.TLS,
            "The certificate is not checked (verify_tls is false): whoever sits between can read "
            "the credentials.",
            "Name the authority's certificate as ca_file and leave verify_tls out.",
        )
    try:
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        if address.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=str(address.ca_file))
        with context.wrap_socket(connection, server_hostname=address.host) as secure:
            return _trusted(secure)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(address, error)
    except ssl.SSLError as error:
        return bad(
            Step.TLS,
            f"No TLS on port {address.port}: {plain(error.reason or error)}.",
            "If InfluxDB serves plain HTTP there, the url must begin with http://.",
        )
    except OSError as error:
        return bad(
            Step.TLS,
            f"TLS was broken off: {plain(error.strerror or error)}.",
            "If InfluxDB serves plain HTTP there, the url must begin with http://.",
        )


def _trusted(secure: ssl.SSLSocket) -> Finding:
    certificate = secure.getpeercert() or {}
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), tz=UTC)
    left = until - datetime.now(tz=UTC)
    if left.days < _WARN_DAYS:
        return care(
            Step.TLS,
            f"The certificate is trusted, but only until {day(until)}.",
            "Renew it before: afterwards every connection fails.",
        )
    return good(Step.TLS, f"The certificate is trusted, until {day(until)}.")


def _untrusted(address: Address, error: ssl.SSLCertVerificationError) -> Finding:
    if error.verify_code == _CERTIFICATE_HAS_EXPIRED:
        why, advice = "it has expired", "Renew the server's certificate."
    elif error.verify_code == _HOSTNAME_MISMATCH or "hostname" in error.verify_message.lower():
        why = f"it is not for {plain(address.host)}"
        advice = "Use in the url the name that stands in the certificate."
    else:
        why = f"nobody who is trusted here signed it ({plain(error.verify_message)})"
        advice = (
            "Save the certificate of the authority that signed it, or of the server when it signed "
            "itself, as a PEM file and name that as ca_file in the configuration."
        )
    return bad(Step.TLS, f"The server's certificate is refused: {why}.", advice)
