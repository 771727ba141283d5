"""The gate at its place: missing and damaged champions, and those that change meanwhile."""

from pathlib import Path
from typing import cast

import pytest

from energy_forecasting.forecasting.gating.gate import Contestant
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.tasks.champion_gate import gate_of, settled
from tests.model_cards import card, gate_report

GRID = cast("LocalGrid", None)  # nobody looks at it
CHALLENGER = Contestant(card=card("v2"), weights={})


def test_the_first_model_of_a_meter_meets_no_gate(tmp_path: Path) -> None:
    assert gate_of(tmp_path / "m1.h5")(GRID, CHALLENGER) is None


def test_a_champion_that_cannot_be_read_gives_way(tmp_path: Path) -> None:
    damaged = tmp_path / "m1.h5"
    damaged.write_bytes(b"not a model")

    report = gate_of(damaged)(GRID, CHALLENGER)

    assert report is not None
    assert report.promoted
    assert report.compared_with is None
    assert "m1.h5 cannot be opened" in report.reason


@pytest.mark.parametrize("promoted", [True, False])
def test_a_decision_about_the_serving_champion_stands(*, promoted: bool) -> None:
    report = gate_report("v1", promoted=promoted)

    assert settled(report, "v1") is report


@pytest.mark.parametrize("serving", [None, "v1"])
def test_without_a_comparison_there_is_nothing_to_settle(serving: str | None) -> None:
    assert settled(None, serving) is None


@pytest.mark.parametrize("promoted", [True, False])
def test_a_champion_that_was_changed_meanwhile_stays(*, promoted: bool) -> None:
    report = settled(gate_report("v2", promoted=promoted), "v1")

    assert report is not None
    assert not report.promoted
    assert "changed to v1 while this model was trained" in report.reason


@pytest.mark.parametrize("promoted", [True, False])
def test_where_nothing_serves_any_more_the_new_model_does(*, promoted: bool) -> None:
    report = settled(gate_report("v1", promoted=promoted), None)

    assert report is not None
    assert report.promoted
    assert "the champion v1 is gone" in report.reason
