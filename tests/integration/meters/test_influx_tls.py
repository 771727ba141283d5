"""Certificates are checked unless the configuration says otherwise, and every doubt is told."""

import ssl
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from energy_forecasting.domain.errors import (
    ConnectionFailed,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.certificates import Certificates, make_certificates, make_self_signed
from tests.integration.meters.conftest import RealInflux, influx_config, influxql_config
from tests.integration.meters.influx_double import InfluxDouble
from tests.tls_front import TlsFront

METER = Meter(meter_type="water", meter_id="dma.5")

Call = Callable[[InfluxMeterStore], object]
EVERY_CALL: dict[str, Call] = {
    "check": lambda store: store.check(),
    "list": lambda store: store.list_meters(),
    "describe": lambda store: store.describe(METER),
    "read": lambda store: store.read_history(METER),
    "write": lambda store: store.write_readings(METER, iter([readings()])),
}
every_call = pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL.keys())


@dataclass
class Behind:
    """A server without TLS and how to be configured for it."""

    port: int
    configured: Callable[..., InfluxConfig]


@pytest.fixture(params=["flux", pytest.param("influxql", marks=pytest.mark.influxdb)])
def behind(request: pytest.FixtureRequest) -> Behind:
    if request.param == "flux":
        double: InfluxDouble = request.getfixturevalue("double")
        port = int(double.url.rpartition(":")[2])
        return Behind(port, lambda **changes: influx_config(double, **changes))
    real: RealInflux = request.getfixturevalue("influxql")
    return Behind(
        real.server.port,
        lambda **changes: influxql_config(real.server, real.database, **changes),
    )


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("expired"), expired=True)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_self_signed(tmp_path_factory.mktemp("self"))


def readings() -> History:
    # So many that packing them is worth it.
    return History(
        timestamps=np.datetime64("2024-03-01", "s") + np.arange(200) * np.timedelta64(3600, "s"),
        consumption=np.arange(200.0),
        temperature=np.arange(200.0),
    )


@contextmanager
def store_of(config: InfluxConfig) -> Iterator[InfluxMeterStore]:
    store = InfluxMeterStore(config)
    try:
        yield store
    finally:
        store.close()


def refusal(config: InfluxConfig, call: Call = EVERY_CALL["read"]) -> str:
    with store_of(config) as store, pytest.raises(EnergyForecastingError) as raised:
        call(store)
    assert config.url in raised.value.message
    assert isinstance(raised.value, ConnectionFailed)
    return raised.value.message


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    behind: Behind, signed: Certificates
) -> None:
    with (
        TlsFront(behind.port, signed) as front,
        store_of(behind.configured(url=front.url, ca_file=signed.ca)) as store,
    ):
        # When
        store.write_readings(METER, iter([readings()]))
        found = store.read_history(METER)
        # Then
        assert found.consumption.tolist() == readings().consumption.tolist()
        assert store.check().version != "unknown"
        assert [each.meter for each in store.list_meters()] == [METER]


def test_answers_over_https_travel_packed(behind: Behind, signed: Certificates) -> None:
    with (
        TlsFront(behind.port, signed) as front,
        store_of(behind.configured(url=front.url, ca_file=signed.ca)) as store,
    ):
        store.write_readings(METER, iter([readings()]))
        front.passed.clear()
        store.read_history(METER)
        passed = bytes(front.passed).lower()
    questions = passed.count(b"accept-encoding: gzip")
    assert questions == passed.count(b"content-encoding: gzip") > 0


def test_a_self_signed_certificate_is_trusted_when_it_is_named_itself(
    behind: Behind, self_signed: Certificates
) -> None:
    with (
        TlsFront(behind.port, self_signed) as front,
        store_of(behind.configured(url=front.url, ca_file=self_signed.certificate)) as store,
    ):
        store.check()


@every_call
def test_an_unknown_authority_is_not_trusted_and_the_way_out_is_told(
    behind: Behind, signed: Certificates, call: Call
) -> None:
    with TlsFront(behind.port, signed) as front:
        message = refusal(behind.configured(url=front.url), call)
        assert b"token" not in front.passed.lower()
        assert front.passed == b""
    assert "No trusted connection" in message
    assert "name the certificate of the authority that signed its certificate" in message


def test_a_self_signed_certificate_is_not_trusted(
    behind: Behind, self_signed: Certificates
) -> None:
    with TlsFront(behind.port, self_signed) as front:
        message = refusal(behind.configured(url=front.url))
    assert "or the certificate itself" in message
    assert "as ca_file" in message


def test_the_certificate_of_another_authority_does_not_help(
    behind: Behind, signed: Certificates, self_signed: Certificates
) -> None:
    with TlsFront(behind.port, signed) as front:
        config = behind.configured(url=front.url, ca_file=self_signed.ca)
        assert "as ca_file" in refusal(config)


def test_a_certificate_for_another_name_is_refused(behind: Behind, signed: Certificates) -> None:
    with TlsFront(behind.port, signed) as front:
        url = f"https://localhost:{front.port}"
        message = refusal(behind.configured(url=url, ca_file=signed.ca))
        assert front.passed == b""
    assert "its certificate is made for another name; write that name in url" in message


def test_an_expired_certificate_is_refused(behind: Behind, expired: Certificates) -> None:
    with TlsFront(behind.port, expired) as front:
        message = refusal(behind.configured(url=front.url, ca_file=expired.ca))
        assert front.passed == b""
    assert "its certificate has expired; renew it" in message


@pytest.mark.parametrize("kind", ["signed", "expired", "self_signed"])
def test_without_verification_every_certificate_is_taken_and_the_log_says_so_once(
    behind: Behind, kind: str, request: pytest.FixtureRequest
) -> None:
    certificates: Certificates = request.getfixturevalue(kind)
    with (
        TlsFront(behind.port, certificates) as front,
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        config = behind.configured(url=f"https://localhost:{front.port}", verify_tls=False)
        with capture_logs() as logged, store_of(config) as store:
            store.write_readings(METER, iter([readings()]))
            for call in EVERY_CALL.values():
                call(store)
    assert [(each["log_level"], each["event"]) for each in logged] == [
        ("warning", "The certificate of InfluxDB is not checked")
    ]
    assert warned == []


def test_verification_of_a_plain_address_is_no_matter_for_the_log(behind: Behind) -> None:
    with capture_logs() as logged, store_of(behind.configured(verify_tls=False)) as store:
        store.check()
    assert logged == []


def test_certificates_are_checked_by_default(behind: Behind) -> None:
    assert behind.configured().verify_tls is True


def test_a_ca_file_that_went_away_is_told(
    behind: Behind, signed: Certificates, tmp_path: Path
) -> None:
    # Given
    file = tmp_path / "ca.pem"
    file.write_bytes(signed.ca.read_bytes())
    with TlsFront(behind.port, signed) as front:
        config = behind.configured(url=front.url, ca_file=file)
        file.unlink()
        # When, Then
        assert "ca_file" in refusal(config)


def test_plain_http_to_an_https_port_is_told(behind: Behind, signed: Certificates) -> None:
    with TlsFront(behind.port, signed) as front:
        url = front.url.replace("https:", "http:")
        with (
            store_of(behind.configured(url=url)) as store,
            pytest.raises((ConnectionFailed, InvalidRequest), match="https"),
        ):
            store.check()


def test_https_to_a_plain_port_is_told(behind: Behind) -> None:
    message = refusal(behind.configured(url=f"https://127.0.0.1:{behind.port}"))
    assert "it seems to speak plain HTTP there; try http:// in url" in message


def test_an_old_version_of_tls_is_refused(behind: Behind, signed: Certificates) -> None:
    with TlsFront(behind.port, signed) as front:
        front._context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            front._context.minimum_version = ssl.TLSVersion.TLSv1
            front._context.maximum_version = ssl.TLSVersion.TLSv1_1
        message = refusal(behind.configured(url=front.url, ca_file=signed.ca))
    assert "No trusted connection" in message
