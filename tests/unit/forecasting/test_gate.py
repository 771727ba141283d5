"""The gate: who is compared with whom on which hours, and when the champion stays."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.model_card import Folds, ForecastMethod, GateReport, ModelCard
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.gating import gate
from energy_forecasting.forecasting.gating.gate import Contestant, judge
from energy_forecasting.forecasting.gating.honest_hours import NOBODY, folds_of, honest_members
from energy_forecasting.forecasting.gating.paired_test import p_value
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import DEFAULT_SETTINGS
from energy_forecasting.forecasting.scale import seasonal_scale

HistoryFactory = Callable[..., History]
CardFactory = Callable[..., ModelCard]
Weights = Mapping[str, npt.NDArray[np.float32]]
ROME = LocalCalendar(timezone="Europe/Rome", country="IT")
MEMBERS = 4  #: that answer without temperature


def cut(history: History, first: int, end: int) -> History:
    """Return the readings between two days."""
    span = slice(first * HOURS_PER_DAY, end * HOURS_PER_DAY)
    return History(
        timestamps=history.timestamps[span],
        consumption=history.consumption[span],
        temperature=history.temperature[span],
    )


@pytest.fixture(scope="session")
def meter(make_history: HistoryFactory) -> History:
    """Return a year of readings that ends in the middle of a local day."""
    return make_history(days=365, start="2024-01-01T13")


@pytest.fixture
def network(make_card: CardFactory, random_weights: Weights) -> Callable[[LocalGrid], Contestant]:
    """Return a maker of networks that would have learnt a grid; their weights are random."""

    def make(grid: LocalGrid) -> Contestant:
        examples = TrainingExamples.from_grid(grid, uses_temperature=True)
        card = make_card(
            feature_names=list(examples.names),
            scale=examples.scale,
            folds=folds_of(grid, examples.members),
            version=str(grid.start),
        )
        return Contestant(card=card, weights=random_weights)

    return make


@pytest.fixture
def naive(make_card: CardFactory) -> Callable[[LocalGrid], Contestant]:
    """Return a maker of seasonal naives."""

    def make(grid: LocalGrid) -> Contestant:
        card = make_card(
            method=ForecastMethod.SEASONAL_NAIVE, scale=seasonal_scale(grid.consumption)
        )
        return Contestant(card=card, weights={})

    return make


def learnt_by_member(grid: LocalGrid, judged_on: LocalGrid) -> npt.NDArray[np.bool_]:
    """Tell which hours of one grid each member learns when it is trained on another."""
    examples = TrainingExamples.from_grid(grid, uses_temperature=True)
    taught = examples.row_weights(DEFAULT_SETTINGS) > 0
    shift = int((grid.start - judged_on.start).astype(int))
    learnt = np.zeros((MEMBERS, len(judged_on)), dtype=bool)
    for member in range(MEMBERS):
        hours = examples.targets[taught[member]] + shift
        learnt[member, hours[(hours >= 0) & (hours < len(judged_on))]] = True
    return learnt


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(((0, 300), (0, 307)), id="a week later"),
        pytest.param(((0, 300), (0, 300)), id="the same readings"),
        pytest.param(((0, 200), (40, 364)), id="weeks that the champion never saw"),
        pytest.param(((0, 300), (30, 345)), id="both sides of the champion's last four weeks"),
        pytest.param(((0, 331), (0, 310)), id="a champion that has seen more"),
    ],
)
def test_no_member_is_asked_for_an_hour_that_it_has_learnt(
    meter: History,
    network: Callable[[LocalGrid], Contestant],
    monkeypatch: pytest.MonkeyPatch,
    days: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    # Given two networks and a spy on who is asked for what
    old, new = (LocalGrid.from_history(cut(meter, *span), ROME) for span in days)
    asked: list[tuple[Hours, Hours]] = []

    def spy(folds: Folds, grid: LocalGrid, hours: Hours) -> Hours:
        asked.append((hours, honest_members(folds, grid, hours)))
        return asked[-1][1]

    monkeypatch.setattr(gate, "honest_members", spy)
    # When
    report = judge(new, challenger=network(new), champion=network(old))
    # Then
    assert report.days == 56
    *_, of_challenger, of_champion = asked  # the two before them looked for the window
    for grid, (hours, members) in ((new, of_challenger), (old, of_champion)):
        assert len(hours) > 56 * HOURS_PER_DAY * 6
        assert NOBODY not in members
        assert len(np.unique(members)) >= 3
        assert not learnt_by_member(grid, new)[members, hours].any()


def test_hours_that_all_members_have_learnt_have_nobody(meter: History) -> None:
    grid = LocalGrid.from_history(meter, ROME)
    examples = TrainingExamples.from_grid(grid, uses_temperature=True)
    hours = np.arange(40 * HOURS_PER_DAY, len(grid))

    members = honest_members(folds_of(grid, examples.members), grid, hours)

    learnt = learnt_by_member(grid, grid)[:, hours]
    np.testing.assert_array_equal(members == NOBODY, learnt.all(axis=0))
    assert (members == NOBODY).sum() == 28 * HOURS_PER_DAY


def test_a_model_is_not_worse_than_itself(
    meter: History, network: Callable[[LocalGrid], Contestant]
) -> None:
    grid = LocalGrid.from_history(meter, ROME)

    report = judge(grid, challenger=network(grid), champion=network(grid))

    assert report.promoted
    assert report.p_value == 1.0
    assert report.challenger_mase == report.champion_mase


def test_a_network_that_learnt_nothing_is_refused_and_lets_itself_be_replaced(
    meter: History,
    network: Callable[[LocalGrid], Contestant],
    naive: Callable[[LocalGrid], Contestant],
) -> None:
    # Given random weights against last week's values
    grid = LocalGrid.from_history(meter, ROME)
    # When
    refused = judge(grid, challenger=network(grid), champion=naive(grid))
    promoted = judge(grid, challenger=naive(grid), champion=network(grid))
    # Then
    assert not refused.promoted
    assert refused.p_value is not None
    assert refused.p_value < 0.001
    assert refused.champion_mase is not None
    assert 0.5 < refused.champion_mase < 2
    assert refused.reason.startswith("Worse than the champion 20240601T000000Z-0a1b2c3d: MASE ")
    assert promoted.promoted
    assert (promoted.challenger_mase, promoted.champion_mase) == (
        refused.champion_mase,
        refused.challenger_mase,
    )


def test_a_steady_lead_that_is_tiny_does_not_keep_a_champion(
    meter: History,
    network: Callable[[LocalGrid], Contestant],
    naive: Callable[[LocalGrid], Contestant],
) -> None:
    # Given a summer of zeros, which last week's values get right and a network all but right
    zeros = replace(
        meter, consumption=np.where(np.arange(len(meter)) > 3000, 0.0, meter.consumption)
    )
    grid = LocalGrid.from_history(zeros, ROME)
    nearly = network(grid)
    quiet = {name: values * 0 for name, values in nearly.weights.items() if "/" in name}
    quiet |= {
        name: values for name, values in nearly.weights.items() if name.endswith("/deviation")
    }
    quiet |= {"quantiles/bias": np.full_like(nearly.weights["quantiles/bias"], 1e-3)}
    # When
    report = judge(
        grid, challenger=Contestant(card=nearly.card, weights=quiet), champion=naive(grid)
    )
    # Then
    assert report.champion_mase == 0.0
    assert report.challenger_mase == pytest.approx(1e-3)
    assert report.p_value == 0.0
    assert report.promoted


def test_a_model_that_serves_zero_is_judged_by_zero(
    make_card: CardFactory, meter: History, naive: Callable[[LocalGrid], Contestant]
) -> None:
    # Given a meter that mostly rests
    used = np.random.default_rng(0).random(len(meter)) < 0.2
    grid = LocalGrid.from_history(replace(meter, consumption=np.where(used, 5.0, 0.0)), ROME)
    zero = Contestant(
        card=make_card(method=ForecastMethod.SEASONAL_NAIVE, scale=1.0, zero_median=True),
        weights={},
    )
    # When
    report = judge(grid, challenger=naive(grid), champion=zero)
    # Then
    assert not report.promoted
    assert report.champion_mase == pytest.approx(5.0 * 0.2, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"timezone": "Europe/Paris"}, "timezone was Europe/Paris and is Europe/Rome now"),
        ({"country": None}, "country was None and is IT now"),
        ({"unit": "MWh"}, "unit was MWh and is kWh now"),
        ({"folds": None}, "another release trained it"),
        ({"feature_names": ["tide"] * 83}, "on other features"),
    ],
)
def test_a_champion_that_cannot_be_compared_gives_way_and_the_card_says_why(
    meter: History,
    network: Callable[[LocalGrid], Contestant],
    changes: dict[str, Any],
    obstacle: str,
) -> None:
    grid = LocalGrid.from_history(meter, ROME)
    old = network(grid)
    champion = Contestant(card=old.card.model_copy(update=changes), weights=old.weights)

    report = judge(grid, challenger=network(grid), champion=champion)

    assert report.promoted
    assert obstacle in report.reason
    assert (report.days, report.p_value, report.window) == (0, None, None)


def test_a_champion_of_other_layers_gives_way(
    meter: History, network: Callable[[LocalGrid], Contestant]
) -> None:
    grid = LocalGrid.from_history(meter, ROME)
    old = network(grid)
    deeper = {**old.weights, "hidden_3/kernel": old.weights["hidden_2/kernel"]}

    report = judge(
        grid, challenger=network(grid), champion=Contestant(card=old.card, weights=deeper)
    )

    assert "another release trained it" in report.reason


@pytest.mark.parametrize("days", [25, 68])
def test_with_too_few_common_days_the_new_model_serves(
    make_history: HistoryFactory,
    network: Callable[[LocalGrid], Contestant],
    naive: Callable[[LocalGrid], Contestant],
    meter: History,
    days: int,
) -> None:
    # Given a short history and a network from better times
    short = LocalGrid.from_history(make_history(days=days), ROME)
    old = network(LocalGrid.from_history(meter, ROME))
    # When: 29 days of lookback and the champion's last four weeks cannot be judged
    new = naive(short)
    ends_with_it = Folds(
        until=(short.start + len(short)).astype("datetime64[s]").item(),
        block_hours=336,
        blocks_for_all=2,
        count=4,
        left_out=[0, 1, 2, 3],
    )
    card = old.card.model_copy(update={"folds": ends_with_it})
    report = judge(short, challenger=new, champion=Contestant(card=card, weights=old.weights))
    # Then
    assert report.promoted
    assert "days that neither model has learnt, and 14 are needed" in report.reason


def test_missing_hours_are_not_judged(
    meter: History, naive: Callable[[LocalGrid], Contestant]
) -> None:
    # Given five weeks without readings and a day with six, at the end of which all is well
    consumption = meter.consumption.copy()
    consumption[-90 * 24 : -55 * 24] = np.nan
    consumption[-50 * 24 : -49 * 24 - 6] = np.nan
    grid = LocalGrid.from_history(replace(meter, consumption=consumption), ROME)
    # When
    report = judge(grid, challenger=naive(grid), champion=naive(grid))
    # Then
    assert report.days == 56
    assert report.window is not None
    assert (report.window.last_day - report.window.first_day).days > 56 + 30
    assert report.champion_mase is not None
    assert np.isfinite(report.champion_mase)


def test_equally_good_forecasts_are_rarely_called_worse() -> None:
    # Given daily differences around zero of which half carries over to the next day
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(1000, 76))
    differences = np.zeros_like(noise)
    for day in range(1, noise.shape[1]):
        differences[:, day] = 0.5 * differences[:, day - 1] + noise[:, day]
    # When
    chances = np.array([p_value(each[20:]) for each in differences])
    # Then
    assert 0.03 < np.mean(chances < 0.05) < 0.10
    assert np.mean(chances) == pytest.approx(0.5, abs=0.05)
    # And a lead of one standard deviation is nearly always seen
    assert np.mean([p_value(each[20:] + 1.15) < 0.05 for each in differences]) > 0.9


def test_a_gate_report_can_be_read_back(
    meter: History, naive: Callable[[LocalGrid], Contestant]
) -> None:
    grid = LocalGrid.from_history(meter, ROME)
    report = judge(grid, challenger=naive(grid), champion=naive(grid))

    assert GateReport.model_validate_json(report.model_dump_json()) == report
