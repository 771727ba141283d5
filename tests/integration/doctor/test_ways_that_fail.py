"""Each failure on the way to the readings is told by itself, with what to do."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from energy_forecasting.doctor.finding import Diagnosis, Outcome, Step
from tests.certificates import make_certificates
from tests.influx_server import InfluxServer, InfluxUser
from tests.integration.doctor.conftest import Examine, told
from tests.integration.meters.influx_double import InfluxDouble

SECRET = "pass-or-token-never-shown"  # noqa: S105 - opens nothing


def login(user: InfluxUser) -> dict[str, str]:
    return {"INFLUXDB_USERNAME": user.name, "INFLUXDB_PASSWORD": user.password}


def bad(diagnosis: Diagnosis, step: Step) -> str:
    assert not diagnosis.can_train
    assert diagnosis.verdict
    return told(diagnosis, step, Outcome.BAD)


# --- Host and TLS ---------------------------------------------------------------------------------


def test_a_closed_port(examine: Examine, free_port: int) -> None:
    diagnosis = examine(url=f"http://127.0.0.1:{free_port}", database="energy")
    assert "the connection is refused" in bad(diagnosis, Step.HOST)
    assert "8181" in bad(diagnosis, Step.HOST)
    assert "cannot be reached" in diagnosis.verdict


def test_a_host_that_nobody_knows(examine: Examine) -> None:
    diagnosis = examine(url="http://no-such-host.invalid:8086", database="energy")
    assert "no-such-host.invalid cannot be resolved" in bad(diagnosis, Step.HOST)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:8086", "http://localhost:8086"),
        ("http://reader:pass-or-token-never-shown@localhost", "credentials"),
        ("http://localhost:99999", "port"),
        ("http://lo\x1bcal", "ASCII"),
    ],
)
def test_an_address_that_is_none(examine: Examine, url: str, reason: str) -> None:
    diagnosis = examine(url=url, database="energy")
    assert reason in bad(diagnosis, Step.CONFIGURATION)
    assert SECRET not in str(diagnosis)


def test_no_address_at_all(examine: Examine) -> None:
    diagnosis = examine({"INFLUXDB_TOKEN": SECRET})
    assert "INFLUXDB_URL" in bad(diagnosis, Step.HOST)
    assert SECRET not in str(diagnosis)


def test_a_file_that_is_no_json_stops_nobody_who_gives_an_address(
    examine: Examine, config_path: Path, free_port: int
) -> None:
    config_path.write_text('{"url": ')
    diagnosis = examine(url=f"http://127.0.0.1:{free_port}", database="energy")
    assert "is not JSON" in bad(diagnosis, Step.CONFIGURATION)
    assert "the connection is refused" in bad(diagnosis, Step.HOST)


@pytest.mark.influxdb
def test_a_certificate_that_nobody_trusts(
    examine: Examine, influxd: str, tmp_path: Path, config_path: Path
) -> None:
    # Given a server with a certificate of an authority of its own
    folder = tmp_path / "certificates"
    folder.mkdir()
    certificates = make_certificates(folder)
    server = InfluxServer(influxd, tmp_path / "influxdb", certificates=certificates)
    (tmp_path / "influxdb").mkdir()
    server.start()
    try:
        server.create_database("energy")
        # When, Then
        refused = examine(login(server.reader), url=server.url, database="energy")
        assert "nobody who is trusted here signed it" in bad(refused, Step.TLS)
        assert "ca_file" in bad(refused, Step.TLS)
        # And plain HTTP to that port is told apart
        plainly = examine(url=server.url.replace("https", "http"), database="energy")
        assert "https://" in bad(plainly, Step.TLS)
        # And with the authority's certificate all is well
        config_path.write_text(f'{{"url": "{server.url}", "ca_file": "{certificates.ca}"}}')
        trusted = examine(login(server.reader), url=server.url, database="energy")
        assert "is trusted" in told(trusted, Step.TLS, Outcome.CARE)  # it lasts two days
        assert "is empty" in bad(trusted, Step.LAYOUT)
        # And a check that is turned off is told
        config_path.write_text(f'{{"url": "{server.url}", "verify_tls": false}}')
        unchecked = examine(login(server.reader), url=server.url, database="energy")
        assert "not checked" in told(unchecked, Step.TLS, Outcome.CARE)
    finally:
        server.close()


def test_https_where_nobody_speaks_tls(examine: Examine) -> None:
    with InfluxDouble() as double:
        diagnosis = examine(url=double.url.replace("http", "https"), database="energy")
    assert "must begin with http://" in bad(diagnosis, Step.TLS)


def test_a_ca_file_without_a_certificate(
    examine: Examine, tmp_path: Path, config_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    url = "https://127.0.0.1:8086"
    config_path.write_text(f'{{"url": "{url}", "ca_file": "{empty}"}}')
    diagnosis = examine(url=url, database="energy")
    assert "ca_file" in bad(diagnosis, Step.CONFIGURATION)


# --- The server and who asks ----------------------------------------------------------------------


class _Page(BaseHTTPRequestHandler):
    """What a proxy shows."""

    def do_GET(self) -> None:
        body = b"<html>\x1b[31mWelcome</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Stay quiet."""


def test_a_page_of_something_else(examine: Examine) -> None:
    with listening() as port:
        diagnosis = examine(url=f"http://127.0.0.1:{port}", database="energy")
    assert "does not tell its version" in told(diagnosis, Step.SERVER, Outcome.CARE)
    assert "leads to InfluxDB" in bad(diagnosis, Step.CREDENTIALS)


def listening() -> "_Listening":
    return _Listening()


class _Listening:
    """A web server that is no InfluxDB."""

    def __enter__(self) -> int:
        self._server = HTTPServer(("127.0.0.1", 0), _Page)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_arguments: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.influxdb
class TestCredentialsOf1x:
    def test_a_wrong_password(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        variables = {**login(influx_server.reader), "INFLUXDB_PASSWORD": SECRET}
        diagnosis = examine(variables, url=influx_server.url, database=influx_database)
        assert "refuses the user reader" in bad(diagnosis, Step.CREDENTIALS)
        assert SECRET not in str(diagnosis)

    def test_nobody_named(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        diagnosis = examine(url=influx_server.url, database=influx_database)
        assert "INFLUXDB_PASSWORD_FILE" in bad(diagnosis, Step.CREDENTIALS)
        assert "command line" in bad(diagnosis, Step.CREDENTIALS)

    def test_a_user_without_a_grant(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        diagnosis = examine(
            login(influx_server.stranger), url=influx_server.url, database=influx_database
        )
        assert f'GRANT READ ON "{influx_database}" TO "stranger"' in bad(diagnosis, Step.CONTAINER)

    @pytest.mark.parametrize("user", ["admin", "reader"])
    def test_a_database_that_is_not_there(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str, user: str
    ) -> None:
        who = {"admin": influx_server.admin, "reader": influx_server.reader}[user]
        diagnosis = examine(login(who), url=influx_server.url, database="energi")
        assert '"energi"' in bad(diagnosis, Step.CONTAINER)
        assert influx_database in bad(diagnosis, Step.CONTAINER)

    def test_an_empty_database(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        diagnosis = examine(
            login(influx_server.reader), url=influx_server.url, database=influx_database
        )
        assert "It is empty" in bad(diagnosis, Step.LAYOUT)
        assert "no readings yet" in diagnosis.verdict

    def test_several_databases_and_none_named(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        influx_server.create_database("another")
        try:
            diagnosis = examine(login(influx_server.reader), url=influx_server.url)
        finally:
            influx_server.drop_database("another")
        assert influx_database in bad(diagnosis, Step.CONTAINER)
        assert "--database NAME" in bad(diagnosis, Step.CONTAINER)

    def test_the_form_of_2x(
        self, examine: Examine, influx_server: InfluxServer, influx_database: str
    ) -> None:
        variables = {"INFLUXDB_TOKEN": SECRET}
        diagnosis = examine(variables, url=influx_server.url, org="o", bucket=influx_database)
        assert "has no Flux" in bad(diagnosis, Step.SERVER)
        assert "database" in bad(diagnosis, Step.SERVER)
        assert SECRET not in str(diagnosis)

    def test_a_server_that_hangs(
        self,
        examine: Examine,
        influx_server: InfluxServer,
        influx_database: str,
        config_path: Path,
    ) -> None:
        config_path.write_text(f'{{"url": "{influx_server.url}", "timeout_s": 0.3}}')
        with influx_server.paused():
            diagnosis = examine(
                login(influx_server.reader), url=influx_server.url, database=influx_database
            )
        assert "did not answer within 0.3 s" in bad(diagnosis, Step.SERVER)

    def test_the_credentials_of_the_file_are_not_sent_elsewhere(
        self,
        examine: Examine,
        influx_server: InfluxServer,
        influx_database: str,
        config_path: Path,
    ) -> None:
        # Given a configuration for one server
        config_path.write_text(
            '{"url": "http://elsewhere:8086", "username": "reader", '
            f'"password": "{influx_server.reader.password}", "database": "energy"}}'
        )
        # When another one is asked for
        diagnosis = examine(url=influx_server.url, database=influx_database)
        # Then
        assert "left aside" in told(diagnosis, Step.CONFIGURATION, Outcome.CARE)
        assert "nobody is named" in bad(diagnosis, Step.CREDENTIALS)


class TestCredentialsOf2x:
    @pytest.fixture
    def double(self) -> Iterator[InfluxDouble]:
        with InfluxDouble() as running:
            yield running
        assert running.complaints == []

    def test_no_token(self, examine: Examine, double: InfluxDouble) -> None:
        diagnosis = examine(url=double.url)
        assert "wants a token" in bad(diagnosis, Step.CREDENTIALS)

    def test_a_wrong_token(self, examine: Examine, double: InfluxDouble) -> None:
        variables = {"INFLUXDB_TOKEN": SECRET}
        diagnosis = examine(variables, url=double.url, org=double.org, bucket=double.bucket)
        assert "refuses the token" in bad(diagnosis, Step.CREDENTIALS)
        assert SECRET not in str(diagnosis)

    def test_a_token_that_may_not_list_buckets_is_enough(
        self, examine: Examine, double: InfluxDouble
    ) -> None:
        double.tells_buckets = False
        variables = {"INFLUXDB_TOKEN": double.token}
        diagnosis = examine(variables, url=double.url, org=double.org, bucket=double.bucket)
        assert "may be read" in told(diagnosis, Step.CONTAINER, Outcome.GOOD)
        # But without their names nobody can go on
        nameless = examine(variables, url=double.url)
        assert "--org NAME" in bad(nameless, Step.CONTAINER)
        bucketless = examine(variables, url=double.url, org=double.org)
        assert "--bucket NAME" in bad(bucketless, Step.CONTAINER)

    def test_a_bucket_that_is_not_there(self, examine: Examine, double: InfluxDouble) -> None:
        variables = {"INFLUXDB_TOKEN": double.token}
        diagnosis = examine(variables, url=double.url, org=double.org, bucket="energi")
        assert 'no bucket "energi"' in bad(diagnosis, Step.CONTAINER)
        assert double.bucket in bad(diagnosis, Step.CONTAINER)

    def test_an_organization_that_is_not_there(
        self, examine: Examine, double: InfluxDouble
    ) -> None:
        variables = {"INFLUXDB_TOKEN": double.token}
        diagnosis = examine(variables, url=double.url, org="nobody", bucket=double.bucket)
        assert not diagnosis.can_train
        assert "organization" in bad(diagnosis, Step.CREDENTIALS)

    def test_an_empty_bucket(self, examine: Examine, double: InfluxDouble) -> None:
        diagnosis = examine({"INFLUXDB_TOKEN": double.token}, url=double.url)
        assert "the only one is" in told(diagnosis, Step.CONTAINER, Outcome.CARE)
        assert "It is empty" in bad(diagnosis, Step.LAYOUT)
