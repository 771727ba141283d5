"""A certificate authority that lives as long as a test session, and a certificate of it.

The ``openssl`` program makes both, so that the tests need no library that the product does not.
Keys never leave the session's temporary folder.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_DAYS = ["-days", "2"]
_YESTERDAY = ["-days", "-1"]
_OF_A_CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
_OF_A_SERVER = "basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n"
_KEY_IDS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
_CONFIGURATION = f"""\
[req]
distinguished_name = name
[name]
[ca]
{_OF_A_CA}subjectKeyIdentifier=hash
[server]
{_OF_A_SERVER}{_KEY_IDS}[alone]
{_OF_A_SERVER}subjectKeyIdentifier=hash
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """Files of a throwaway authority and of a server at 127.0.0.1, all PEM."""

    ca: Path  #: what a client has to trust
    certificate: Path  #: of the server, signed by the authority
    key: Path  #: of the server, without a password


def make_certificates(folder: Path, *, expired: bool = False) -> Certificates:
    """Make them in an empty folder; the server's may have expired yesterday."""
    made = Certificates(
        ca=folder / "ca.pem", certificate=folder / "server.pem", key=folder / "server.key"
    )
    configuration, ca_key, request = folder / "openssl.cnf", folder / "ca.key", folder / "csr.pem"
    configuration.write_text(_CONFIGURATION)
    shared = ["-config", str(configuration)]
    _openssl(
        *("req", "-x509", *shared, *_NEW_KEY, *_DAYS, "-subj", "/CN=Tests", "-extensions", "ca"),
        *("-keyout", str(ca_key), "-out", str(made.ca)),
    )
    _openssl(
        *("req", *shared, *_NEW_KEY, "-subj", "/CN=127.0.0.1"),
        *("-keyout", str(made.key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(made.ca), "-CAkey", str(ca_key)),
        *("-set_serial", "1", *(_YESTERDAY if expired else _DAYS)),
        *("-extfile", str(configuration), "-extensions", "server"),
        *("-out", str(made.certificate)),
    )
    return made


def make_self_signed(folder: Path) -> Certificates:
    """Make a certificate that nobody but itself speaks for, in an empty folder."""
    configuration, certificate, key = (folder / name for name in ("cnf", "self.pem", "self.key"))
    configuration.write_text(_CONFIGURATION)
    _openssl(
        *("req", "-x509", "-config", str(configuration), *_NEW_KEY, *_DAYS),
        *("-subj", "/CN=127.0.0.1", "-extensions", "alone"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    return Certificates(ca=certificate, certificate=certificate, key=key)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)  # noqa: S607 - on PATH
