"""The registry on a real file system: readers never see half a model."""

import errno
import os
import time
from pathlib import Path

import pytest

from energy_forecasting.domain.errors import Conflict, NotFound, StorageFailed
from energy_forecasting.domain.meters import Meter
from energy_forecasting.registry.model_registry import ModelRegistry, Publication
from tests.model_cards import METER, card, gate_report, write_artifact


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models", versions_kept=3)


def published(registry: ModelRegistry, version: str, meter: Meter = METER) -> Publication:
    incoming = registry.incoming_path()
    write_artifact(incoming, card(version, meter))
    return registry.publish(incoming, card(version, meter))


def refused(registry: ModelRegistry, version: str) -> Publication:
    """Publish a model that the gate did not let pass."""
    gate = gate_report("the champion", promoted=False)
    made = card(version).model_copy(update={"gate": gate})
    incoming = registry.incoming_path()
    write_artifact(incoming, made)
    return registry.publish(incoming, made, promote=False)


def kept(registry: ModelRegistry) -> list[str]:
    return [each.version for each in registry.versions(METER)]


def test_a_published_model_is_the_champion_at_its_documented_place(registry: ModelRegistry) -> None:
    publication = published(registry, "v1")

    assert publication.champion == registry.root / "water" / "m1.h5"
    assert registry.champion(METER).version == "v1"


def test_a_new_version_takes_over_and_the_old_one_is_kept(registry: ModelRegistry) -> None:
    published(registry, "v1")
    published(registry, "v2")

    assert registry.champion(METER).version == "v2"
    assert [each.version for each in registry.versions(METER)] == ["v2", "v1"]


def test_only_so_many_versions_are_kept(registry: ModelRegistry) -> None:
    for number in range(6):
        published(registry, f"v{number}")

    assert [each.version for each in registry.versions(METER)] == ["v5", "v4", "v3"]


def test_a_retracted_publication_gives_the_place_back(registry: ModelRegistry) -> None:
    published(registry, "v1")
    publication = published(registry, "v2")

    registry.retract(publication)

    assert registry.champion(METER).version == "v1"
    assert [each.version for each in registry.versions(METER)] == ["v1"]


def test_a_retracted_first_publication_leaves_no_model(registry: ModelRegistry) -> None:
    registry.retract(published(registry, "v1"))

    with pytest.raises(NotFound, match="POST /trainmodel/"):
        registry.champion(METER)


def test_a_withdrawn_version_gives_its_place_to_the_promoted_one_before(
    registry: ModelRegistry,
) -> None:
    published(registry, "v1")
    refused(registry, "v2")
    published(registry, "v3")

    assert registry.withdraw(METER, "v3")

    assert registry.champion(METER).version == "v1"
    assert kept(registry) == ["v2", "v1"]
    assert not registry.withdraw(METER, "v3")


def test_a_withdrawn_version_that_does_not_serve_leaves_the_champion_alone(
    registry: ModelRegistry,
) -> None:
    published(registry, "v1")
    published(registry, "v2")

    assert registry.withdraw(METER, "v1")

    assert registry.champion(METER).version == "v2"
    assert kept(registry) == ["v2"]


def test_a_withdrawn_only_version_leaves_no_model(registry: ModelRegistry) -> None:
    published(registry, "v1")

    assert registry.withdraw(METER, "v1")

    assert registry.meters() == []


def test_a_publication_that_fails_midway_leaves_no_version(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(registry, "v1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(registry, "_promote", full)
    with pytest.raises(StorageFailed, match="No space left"):
        published(registry, "v2")

    assert kept(registry) == ["v1"]
    assert registry.champion_version(METER) == "v1"


def test_a_refused_model_is_kept_and_the_champion_serves_on(registry: ModelRegistry) -> None:
    published(registry, "v1")
    champion = registry.champion_path(METER).read_bytes()

    publication = refused(registry, "v2")

    assert not publication.promoted
    assert publication.version.is_file()
    assert registry.champion_version(METER) == "v1"
    assert registry.champion_path(METER).read_bytes() == champion
    assert kept(registry) == ["v2", "v1"]


def test_many_refused_models_never_push_the_champion_out(registry: ModelRegistry) -> None:
    published(registry, "v1")
    for number in range(2, 8):
        refused(registry, f"v{number}")

    assert registry.champion_version(METER) == "v1"
    assert kept(registry) == ["v7", "v6", "v5", "v1"]


def test_a_retracted_refusal_leaves_the_champion_alone(registry: ModelRegistry) -> None:
    published(registry, "v1")

    registry.retract(refused(registry, "v2"))

    assert registry.champion_version(METER) == "v1"
    assert kept(registry) == ["v1"]


def test_a_retraction_does_not_undo_what_an_operator_did_meanwhile(
    registry: ModelRegistry,
) -> None:
    # Given a rollback, and for another training a deletion, between publishing and retracting
    published(registry, "v1")
    published(registry, "v2")
    publication = published(registry, "v3")
    registry.rollback(METER, "v1")
    # When
    registry.retract(publication)
    # Then
    assert registry.champion_version(METER) == "v1"
    assert kept(registry) == ["v2", "v1"]

    publication = published(registry, "v4")
    registry.delete(METER)
    registry.retract(publication)
    assert registry.champion_version(METER) is None


def test_a_rollback_passes_over_refused_versions_unless_one_is_named(
    registry: ModelRegistry,
) -> None:
    published(registry, "v1")
    refused(registry, "v2")
    published(registry, "v3")

    assert registry.rollback(METER).version == "v1"
    assert registry.rollback(METER, "v2").version == "v2"
    assert registry.champion_version(METER) == "v2"


def test_a_rollback_brings_the_version_before_the_champion_back(registry: ModelRegistry) -> None:
    for version in ("v1", "v2", "v3"):
        published(registry, version)

    assert registry.rollback(METER).version == "v2"
    assert registry.rollback(METER).version == "v1"
    assert registry.champion(METER).version == "v1"
    assert [each.version for each in registry.versions(METER)] == ["v3", "v2", "v1"]


def test_a_rollback_can_name_its_version_and_so_be_undone(registry: ModelRegistry) -> None:
    published(registry, "v1")
    published(registry, "v2")
    registry.rollback(METER)

    assert registry.rollback(METER, "v2").version == "v2"
    assert registry.champion(METER).version == "v2"


def test_a_rollback_without_an_earlier_version_is_a_conflict(registry: ModelRegistry) -> None:
    published(registry, "v1")

    with pytest.raises(Conflict, match="nothing to go back to"):
        registry.rollback(METER)
    with pytest.raises(NotFound, match="no such version"):
        registry.rollback(METER, "v0")


def test_a_deleted_model_is_gone_with_its_versions(registry: ModelRegistry) -> None:
    published(registry, "v1")
    registry.delete(METER)

    with pytest.raises(NotFound):
        registry.champion(METER)
    with pytest.raises(NotFound):
        registry.versions(METER)
    with pytest.raises(NotFound):
        registry.delete(METER)


def test_champions_of_all_meters_are_listed_in_order(registry: ModelRegistry) -> None:
    for meter_id in ("b", "a.versions", "a"):
        published(registry, "v1", Meter(meter_type="gas", meter_id=meter_id))

    assert [each.meter_id for each in registry.champions()] == ["a", "a.versions", "b"]


def test_a_damaged_champion_is_an_error_and_the_next_training_replaces_it(
    registry: ModelRegistry,
) -> None:
    champion = published(registry, "v1").champion
    champion.unlink()
    champion.write_bytes(b"not a model")

    with pytest.raises(StorageFailed):
        registry.champion(METER)
    published(registry, "v2")
    assert registry.champion(METER).version == "v2"


def test_what_dead_processes_left_is_swept_away(registry: ModelRegistry) -> None:
    abandoned = registry.incoming_path()
    abandoned.touch()
    two_days_ago = time.time() - 2 * 86_400
    os.utime(abandoned, (two_days_ago, two_days_ago))

    registry.incoming_path()

    assert not abandoned.exists()


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    occupied = tmp_path / "models"
    occupied.touch()

    with pytest.raises(StorageFailed, match="MODEL_STORE"):
        ModelRegistry(occupied, versions_kept=3).incoming_path()


def test_meters_with_a_champion_are_listed_without_opening_a_file(registry: ModelRegistry) -> None:
    other = Meter(meter_type="gas", meter_id="m1")
    published(registry, "v1")
    published(registry, "v1", other)
    (registry.root / "gas" / "damaged.h5").write_bytes(b"half a model")
    (registry.root / "gas" / "no meter.h5").write_bytes(b"")

    damaged = Meter(meter_type="gas", meter_id="damaged")
    assert registry.meters() == [damaged, other, METER]
