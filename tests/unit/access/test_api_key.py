"""A key's text and what is kept of it."""

import re

import pytest

from energy_forecasting.access.api_key import ApiKey, made_key, presented_key
from energy_forecasting.access.scope import Scope


def test_a_key_is_256_bits_of_which_the_digest_alone_is_kept() -> None:
    key, text = made_key(name="portal", scope=Scope.TRAIN, trainings_per_hour=5)

    assert re.fullmatch(r"ef_[0-9a-f]{8}_[0-9a-f]{64}", text)
    secret = text.rsplit("_", 1)[1]
    assert secret not in key.model_dump_json()
    assert presented_key(text).sha256 == key.sha256
    assert presented_key(text).id == key.id


def test_no_two_keys_are_alike() -> None:
    assert len({made_key(name="a", scope=Scope.READ)[1] for _ in range(200)}) == 200


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x1b[31m", "x" * 65])
def test_a_name_that_could_spoil_a_list_or_a_log_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        made_key(name=name, scope=Scope.READ)


@pytest.mark.parametrize("text", ["", "ef_", "ef_0a1b2c3d_", "\ud800", "x" * 100_000, "é", "\x00"])
def test_any_text_at_all_can_be_presented(text: str) -> None:
    assert presented_key(text).id == ""


def test_a_slip_in_a_field_is_no_valid_key() -> None:
    key, _ = made_key(name="a", scope=Scope.READ)
    written = key.model_dump(mode="json") | {"revokd": "2026-01-01T00:00:00Z"}

    with pytest.raises(ValueError, match="revokd"):
        ApiKey.model_validate(written)


def test_each_scope_includes_the_ones_before() -> None:
    allowed = {(a, b) for a in Scope for b in Scope if a.includes(b)}

    assert allowed == {
        (Scope.READ, Scope.READ),
        (Scope.TRAIN, Scope.READ),
        (Scope.TRAIN, Scope.TRAIN),
        (Scope.ADMIN, Scope.READ),
        (Scope.ADMIN, Scope.TRAIN),
        (Scope.ADMIN, Scope.ADMIN),
    }
