"""The doctor sent to servers that repeat what they are sent: it shows no secret of ours."""

import json
import logging
from base64 import b64encode

import pytest

from energy_forecasting.doctor.screen import DoctorScreen, as_document
from energy_forecasting.meters.influx import http
from tests.integration.doctor.conftest import Examine
from tests.integration.meters.echo_server import REPLIES, EchoServer, Reply

# Made up for these tests; they open nothing.
TOKEN = "kX7-vQ2mZpR9_tLwYb4NcHs8JdFg6EuA"  # noqa: S105
PASSWORD = "pa55-w0rd-of-the-database"  # noqa: S105
FORMS = {
    "flux": {"INFLUXDB_TOKEN": TOKEN, "INFLUXDB_ORG": "o", "INFLUXDB_BUCKET": "b"},
    "influxql": {
        "INFLUXDB_USERNAME": "user",
        "INFLUXDB_PASSWORD": PASSWORD,
        "INFLUXDB_DATABASE": "d",
    },
    "undecided": {"INFLUXDB_TOKEN": TOKEN},
}
_PIECE = 10
_PAIR = b64encode(f"user:{PASSWORD}".encode()).decode()


def leaked(text: str) -> list[str]:
    return [
        piece
        for secret in (TOKEN, PASSWORD, _PAIR)
        for at in range(len(secret) - _PIECE + 1)
        if (piece := secret[at : at + _PIECE]) in text
    ]


# Answers of other statuses are explained by the store, whose tests try them all. One is a list of
# measurements, of which one is called like the token; that is shown.
ECHOES = {
    name: reply
    for name, reply in REPLIES.items()
    if (name[:3] in {"200", "401", "500"} or not name[0].isdigit())
    and name != "200 annotated_value"
}


@pytest.mark.parametrize("reply", ECHOES.values(), ids=ECHOES.keys())
def test_a_diagnosis_shows_no_secret(
    examine: Examine,
    reply: Reply,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Given
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.001)
    caplog.set_level(logging.DEBUG)
    with EchoServer() as echo:
        echo.reply = reply
        for variables in FORMS.values():
            # When
            diagnosis = examine({"INFLUXDB_URL": echo.url, **variables})
            screen = DoctorScreen()
            for finding in diagnosis.findings:
                screen.show(finding)
            screen.conclude(diagnosis)
            # Then
            assert not diagnosis.can_train
            assert leaked(as_document(diagnosis) + json.dumps(repr(diagnosis))) == []
    assert leaked("".join(capfd.readouterr()) + caplog.text) == []
