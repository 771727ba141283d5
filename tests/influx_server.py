"""A real InfluxDB 1.x of the tests' own: authentication on, and it can be made to fail.

It knows InfluxQL and line protocol only; there is no Flux in it. Start it from the main thread:
it ends with the thread that started it.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from energy_forecasting.launcher import tether
from energy_forecasting.launcher.ports import LOOPBACK, any_free_port
from tests.certificates import Certificates

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 10.0
_STARTS = 3
_POLL_S = 0.02
_OK, _NO_CONTENT = httpx.codes.OK, httpx.codes.NO_CONTENT

_CONFIGURATION = """\
reporting-disabled = true
bind-address = "{host}:0"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[coordinator]
{coordinator}
[http]
bind-address = "{host}:{port}"
auth-enabled = true
log-enabled = false
max-row-limit = {row_limit}
https-enabled = {https}
https-certificate = "{certificate}"
https-private-key = "{key}"
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
"""


def _new_password() -> str:
    return "pass-" + secrets.token_hex(8)


@dataclass(frozen=True, kw_only=True, slots=True)
class InfluxUser:
    """Somebody who may log in; the password is made anew for each session."""

    name: str
    password: str = field(default_factory=_new_password)


class InfluxServer:
    """An ``influxd`` on loopback whose data survive as long as its folder.

    Args:
        binary: the program.
        folder: for its data, its configuration and what it prints.
        certificates: serve HTTPS with them; None serves plain HTTP.
        limits: settings of its section ``coordinator``, such as ``max-select-point``.
        row_limit: rows after which an answer ends; 0: none.
    """

    def __init__(
        self,
        binary: str,
        folder: Path,
        *,
        certificates: Certificates | None = None,
        limits: Mapping[str, int | str] | None = None,
        row_limit: int = 0,
    ) -> None:
        self.admin = InfluxUser(name="admin")
        #: May read and write every database that ``create_database`` makes.
        self.member = InfluxUser(name="member")
        #: May read them and nothing else.
        self.reader = InfluxUser(name="reader")
        #: May log in, and nothing else.
        self.stranger = InfluxUser(name="stranger")
        self.port = any_free_port()
        self._binary = binary
        self._folder = folder
        self._certificates = certificates
        self._limits = dict(limits or {})
        self._row_limit = row_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(verify=False, trust_env=False)  # noqa: S501 - loopback

    @property
    def url(self) -> str:
        """Where it answers, or would."""
        return f"{'https' if self._certificates else 'http'}://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process; it must run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run, on the port and the data of before; nothing happens when it runs already."""
        if self._process is not None and self._process.poll() is None:
            return
        is_new = not (self._folder / "meta").exists()
        for _ in range(_STARTS if is_new else 1):
            if self._try_to_start():
                break
            if is_new:  # another program may have been quicker on this port
                self.port = any_free_port()
        else:
            printed = self._log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"influxd did not start; it printed:\n{printed}")
        if is_new:
            self._create_users()

    def stop(self) -> None:
        """End it as an operator would; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self._http.close()

    def move(self) -> None:
        """Start again on another port, so that something else may take this one."""
        self.stop()
        self.port = any_free_port()
        self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hang: connections are accepted, nothing is ever answered.

        Tests that are killed with -9 just then leave it paused; nothing else leaves it behind.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def create_database(self, name: str, *, retention_policy: str | None = None) -> None:
        """Create a database that ``member`` may use; a policy named here becomes its default."""
        policy = f' WITH NAME "{retention_policy}"' if retention_policy else ""
        self.ask(f'CREATE DATABASE "{name}"{policy}')
        self.ask(f'GRANT ALL ON "{name}" TO "{self.member.name}"')
        self.ask(f'GRANT READ ON "{name}" TO "{self.reader.name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database; one that is not there is no error."""
        self.ask(f'DROP DATABASE "{name}"')

    def write(
        self, database: str, lines: str, *, precision: str = "s", retention_policy: str = ""
    ) -> None:
        """Write lines of line protocol as the administrator."""
        names = {"db": database, "rp": retention_policy, "precision": precision}
        answer = self._http.post(
            f"{self.url}/write", params=names, content=lines, auth=_login(self.admin)
        )
        assert answer.status_code == _NO_CONTENT, answer.text

    def ask(
        self, query: str, *, database: str = "", user: InfluxUser | None = None
    ) -> list[dict[str, Any]]:
        """Return the results of an InfluxQL text, as the administrator unless a user is named."""
        answer = self._http.post(
            f"{self.url}/query",
            params={"db": database, "epoch": "s"},
            data={"q": query},
            auth=_login(user or self.admin),
        )
        assert answer.status_code == _OK, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        assert not any("error" in result for result in results), answer.text
        return results

    @property
    def _log(self) -> Path:
        return self._folder / "influxd.log"

    def _try_to_start(self) -> bool:
        """Start it and wait until it answers; False when it ended instead."""
        configuration = self._folder / "influxdb.conf"
        configuration.write_text(self._configuration())
        # The tether ends it with the tests, even if those are killed.
        command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), self._binary]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-config", str(configuration)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_LIMIT_S
        while self._process.poll() is None:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                self.kill()
                return False
            time.sleep(_POLL_S)
        return False

    def _configuration(self) -> str:
        made = self._certificates
        limits = (
            f"{name} = {value}" if isinstance(value, int) else f'{name} = "{value}"'
            for name, value in self._limits.items()
        )
        return _CONFIGURATION.format(
            host=LOOPBACK,
            port=self.port,
            folder=self._folder,
            coordinator="\n".join(limits),
            row_limit=self._row_limit,
            https="true" if made else "false",
            certificate=made.certificate if made else "",
            key=made.key if made else "",
        )

    def _answers(self) -> bool:
        try:
            return self._http.get(f"{self.url}/ping").status_code == _NO_CONTENT
        except httpx.TransportError:
            return False

    def _create_users(self) -> None:
        """Create the users; with authentication on, the first one needs none."""
        first = self.admin
        created = f"CREATE USER \"{first.name}\" WITH PASSWORD '{first.password}'"
        answer = self._http.post(f"{self.url}/query", data={"q": f"{created} WITH ALL PRIVILEGES"})
        assert answer.status_code == _OK, answer.text
        for user in (self.member, self.reader, self.stranger):
            self.ask(f"CREATE USER \"{user.name}\" WITH PASSWORD '{user.password}'")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _login(user: InfluxUser) -> tuple[str, str]:
    return user.name, user.password
