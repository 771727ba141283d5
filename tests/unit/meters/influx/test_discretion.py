"""Whatever a server repeats of what it was sent, no secret is shown."""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.discretion import Discretion

TOKEN = "qT9-tok3n_With.Every+Sign/of=Base64==" + "x" * 51
PASSWORD = 'pa55 w0rd & "quotes" <\\> ü'  # noqa: S105 - opens nothing

Form = Callable[[str], str]
FORMS: list[Form] = [
    str,
    lambda secret: quote(secret, safe=""),
    quote_plus,
    html.escape,
    json.dumps,
    lambda secret: json.dumps(secret, ensure_ascii=False),
    lambda secret: b64encode(secret.encode()).decode(),
    lambda secret: urlsafe_b64encode(secret.encode()).decode(),
]


def discretion(token: str | None = None, password: str | None = None) -> Discretion:
    return Discretion(
        InfluxConfig(
            url="http://db",
            database="d",
            token=None if token is None else SecretStr(token),
            username=None if password is None else "user",
            password=None if password is None else SecretStr(password),
        )
    )


def leaks(shown: str, secret: str) -> list[str]:
    """Return the pieces of a secret, of six characters each, that a text shows."""
    escaped = ascii(secret)[1:-1]
    return [
        piece
        for text in (secret, escaped)
        for at in range(len(text) - 5)
        if (piece := text[at : at + 6]) in shown
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_every_form(form: Form) -> None:
    for secret, shown in (
        (PASSWORD, discretion(password=PASSWORD).shown),
        (TOKEN, discretion(token=TOKEN).shown),
    ):
        repeated = form(secret)
        # When
        told = shown(f"you sent '{repeated}', and again {repeated}, go away")
        # Then
        assert leaks(told, repeated) == leaks(told, secret) == []
        assert "go away" in told


def test_the_pair_of_user_and_password_is_masked() -> None:
    pair = b64encode(f"user:{PASSWORD}".encode()).decode()
    told = discretion(password=PASSWORD).shown(f"Authorization: Basic {pair}\r\nHost: a")
    assert told == r"'Authorization: Basic ***\r\nHost: a'"


@pytest.mark.parametrize("length", range(8, len(TOKEN)))
def test_a_secret_that_is_cut_is_masked(length: int) -> None:
    told = discretion(token=TOKEN).shown(f"Authorization: Token {TOKEN[:length]}")
    assert told == "'Authorization: Token ***'"


@pytest.mark.parametrize("length", range(8, len(PASSWORD)))
def test_a_password_with_spaces_that_is_cut_is_masked(length: int) -> None:
    told = discretion(password=PASSWORD).shown(f"password={PASSWORD[:length]}")
    assert told.startswith("'password=***")
    assert leaks(told, PASSWORD) == []


def test_no_secret_shows_where_the_text_is_cut() -> None:
    shown = discretion(token=TOKEN).shown
    for before in range(400):
        assert leaks(shown("." * before + TOKEN), TOKEN) == []
    for times in (1, 10, 200):
        assert leaks(shown(TOKEN * times + "end"), TOKEN) == []


@pytest.mark.parametrize("secret", ["a", "*", "**", "'", "\\", "%", "e" * 7, "aaaaaaaaaaaaaaaa"])
def test_a_short_or_odd_password_does_not_break_it(secret: str) -> None:
    told = discretion(password=secret).shown(f"wrong password {secret}!" * 3)
    assert secret * 2 not in told.replace("***", "")
    assert len(told) <= 2 + 4 * 200


def test_without_secrets_text_is_quoted_escaped_and_cut() -> None:
    shown = discretion().shown
    assert shown("no\nline \x1b[31m forged\u202e") == r"'no\nline \x1b[31m forged\u202e'"
    assert shown(b"bytes \xff") == r"'bytes \ufffd'"
    assert shown("\ud800") == r"'\ud800'"
    assert shown("x" * 10_000) == f"'{'x' * 200}'"
    assert shown(ValueError("why")) == "'why'"
    assert shown(b"x" * 10**7) == f"'{'x' * 200}'"


def test_it_shows_no_secret_of_its_own() -> None:
    for text in (repr(discretion(token=TOKEN)), str(discretion(password=PASSWORD))):
        assert leaks(text, TOKEN) == leaks(text, PASSWORD) == []
