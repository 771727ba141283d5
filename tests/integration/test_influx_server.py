"""The tests' own InfluxDB is a real one: it asks for a password and keeps what it was given."""

import httpx
import pytest

from tests.certificates import make_certificates
from tests.influx_server import InfluxServer, InfluxUser

pytestmark = pytest.mark.influxdb


def held(server: InfluxServer, database: str, user: InfluxUser) -> int:
    (result,) = server.ask("SELECT count(v) FROM m", database=database, user=user)
    return int(result["series"][0]["values"][0][1]) if "series" in result else 0


def status(server: InfluxServer, database: str, login: tuple[str, str] | None) -> int:
    question = {"q": "SELECT v FROM m", "db": database}
    return httpx.get(f"{server.url}/query", params=question, auth=login).status_code


def test_nobody_reads_without_a_login_or_a_grant(
    influx_server: InfluxServer, influx_database: str
) -> None:
    stranger = influx_server.stranger
    assert status(influx_server, influx_database, None) == httpx.codes.UNAUTHORIZED
    wrong = (influx_server.member.name, "wrong")
    assert status(influx_server, influx_database, wrong) == httpx.codes.UNAUTHORIZED
    known = (stranger.name, stranger.password)
    assert status(influx_server, influx_database, known) == httpx.codes.FORBIDDEN


def test_data_survive_a_stop_a_kill_and_a_pause(
    influx_server: InfluxServer, influx_database: str
) -> None:
    # Given
    port = influx_server.port
    influx_server.write(influx_database, "m v=1 1700000000\nm v=2 1700000001")
    for end in (influx_server.stop, influx_server.kill):
        # When
        end()
        with pytest.raises(httpx.ConnectError):
            status(influx_server, influx_database, None)
        influx_server.start()
        # Then
        assert influx_server.port == port
        assert held(influx_server, influx_database, influx_server.member) == 2
    with (
        influx_server.paused(),
        pytest.raises(httpx.ReadTimeout),
    ):
        httpx.get(f"{influx_server.url}/ping", timeout=0.2)
    assert held(influx_server, influx_database, influx_server.reader) == 2


def test_it_serves_https_with_a_certificate_of_its_own_authority(
    influxd: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = make_certificates(tmp_path_factory.mktemp("certificates"))
    server = InfluxServer(influxd, tmp_path_factory.mktemp("influxdb"), certificates=made)
    try:
        server.start()
        server.create_database("a")
        with pytest.raises(httpx.ConnectError, match="certificate"):
            status(server, "a", None)
    finally:
        server.close()
