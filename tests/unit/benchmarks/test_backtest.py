"""The protocol of the accuracy benchmark: nobody sees the future, everybody is scored alike."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from benchmarks.accuracy import available
from benchmarks.backtest import Backtest, Setting
from benchmarks.data_set import Case
from benchmarks.methods import METHODS, Method
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import HOUR, History, Values

DAYS = 150
OPPONENTS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not method.is_installed, reason=f"needs {method.needs}")
    )
    for name, method in METHODS.items()
    if name != "product"
]


def case_ending(last_day: str) -> Case:
    hours = np.arange(DAYS * 24)
    first = np.datetime64(last_day, "s") - DAYS * 24 * HOUR
    noise = np.random.default_rng(0).normal(size=(2, len(hours)))
    return Case(
        meter=Meter(meter_type="electricity", meter_id="office"),
        profile=MeterProfile(unit="kWh", timezone="Europe/London", country="GB"),
        history=History(
            timestamps=(first + hours * HOUR).astype("datetime64[s]"),
            consumption=20 + 5 * np.sin(2 * np.pi * hours / 24) + hours % 168 / 50 + noise[0],
            temperature=10 + 5 * np.cos(2 * np.pi * hours / 24) + noise[1],
        ),
    )


@pytest.fixture
def backtest() -> Backtest:
    return Backtest.of(case_ending("2023-02-20"), Setting.TEMP)


def without_future(backtest: Backtest, origin: int) -> Backtest:
    consumption = backtest.grid.consumption.copy()
    consumption[origin:] = 1e6
    return replace(backtest, grid=replace(backtest.grid, consumption=consumption))


@pytest.mark.parametrize("name", OPPONENTS)
def test_no_opponent_sees_what_comes_after_the_origin(backtest: Backtest, name: str) -> None:
    # Given an opponent that learnt the same from two meters
    fit = import_module(METHODS[name].module).fit
    origin = backtest.first_origin + 6
    changed = without_future(backtest, origin)

    # When the meters differ only from the origin on
    forecast, of_changed = fit(backtest)(origin), fit(changed)(origin)

    # Then the forecasts do not differ
    assert forecast.shape == (168, 9)
    assert np.all(np.diff(forecast, axis=1) >= 0)
    np.testing.assert_allclose(forecast, of_changed)


@pytest.mark.parametrize("name", [name for name in OPPONENTS if name.values != ("yesterday",)])
def test_every_opponent_learns_a_regular_week(backtest: Backtest, name: str) -> None:
    predict = import_module(METHODS[name].module).fit(backtest)
    origins = backtest.origins(0, every_days=14)

    forecasts = {origin: backtest.forecast(predict, origin) for origin in origins}

    for accuracy in backtest.accuracies(origins, forecasts):
        assert accuracy.mase < 1.15


def test_a_perfect_forecast_has_no_error_and_covers_everything(backtest: Backtest) -> None:
    def perfect(origin: int) -> Values:
        hours = np.minimum(backtest.hours_ahead(origin), len(backtest.grid) - 1)
        return np.repeat(backtest.grid.consumption[hours][:, None], 9, axis=1)

    origins = backtest.origins(0, every_days=1)
    day, week = backtest.accuracies(origins, {origin: perfect(origin) for origin in origins})

    assert (day.horizon, day.origins, week.horizon, week.origins) == (24, 56, 168, 50)
    assert day.mase == day.wape == day.crps == week.mase == 0
    assert day.coverage80 == week.coverage80 == 1


def test_after_the_spring_change_the_forecast_keeps_to_the_wall_clock() -> None:
    # Given the week in which London loses an hour: Sunday, 26 March 2023, 01:00
    backtest = Backtest.of(case_ending("2023-04-20"), Setting.NOTEMP)
    saturday = np.datetime64("2023-03-25T00", "h")
    origin = int((saturday - backtest.grid.start).astype(int))

    # When a forecast names the lead of each hour
    leads = np.repeat(np.arange(168.0)[:, None], 9, axis=1)
    asked = backtest.in_real_time(origin, leads)[:, 0]

    # Then it skips the hour that does not exist
    assert asked[23:27].tolist() == [23, 24, 26, 27]


def test_a_cut_history_begins_later_and_is_scored_alike() -> None:
    # Given
    case = case_ending("2023-02-20")
    whole = Backtest.of(case, Setting.NOTEMP)

    # When
    cut = Backtest.of(case, Setting.NOTEMP, history_weeks=2)

    # Then
    assert (cut.first_origin, cut.scale) == (whole.first_origin, whole.scale)
    assert len(cut.training_history) == 14 * 24
    assert np.isfinite(cut.training_grid.consumption).sum() == 14 * 24
    np.testing.assert_array_equal(
        cut.grid.consumption[cut.first_origin :], whole.grid.consumption[whole.first_origin :]
    )


def test_temperature_is_handed_out_as_the_setting_says() -> None:
    case = case_ending("2023-02-20")
    given = {
        setting: Backtest.of(case, setting).temperature_ahead(1200, 1200 + np.arange(168))
        for setting in Setting
    }

    assert given[Setting.TEMP] is not None
    np.testing.assert_array_equal(given[Setting.TEMP], case.history.temperature[1200:1368])
    assert given[Setting.RECENT] is None
    assert given[Setting.NOTEMP] is None


def test_a_temperature_forecast_errs_more_the_further_it_looks_and_always_alike() -> None:
    # Given the same meter under both settings
    case, leads = case_ending("2023-02-20"), np.arange(168)
    known, forecast = (Backtest.of(case, setting) for setting in (Setting.TEMP, Setting.FORECAST))
    origins = range(720, 3360, 24)

    def errors() -> Values:
        drawn = []
        for at in origins:
            truth, guess = (given.temperature_ahead(at, at + leads) for given in (known, forecast))
            assert truth is not None
            assert guess is not None
            drawn.append(guess - truth)
        return np.array(drawn)

    # When
    drawn = errors()

    # Then the first hours err by about 1 K, the last ones by about 2.5 K
    assert drawn[:, :6].std() == pytest.approx(1.0, abs=0.25)
    assert drawn[:, -6:].std() == pytest.approx(2.5, abs=0.5)
    assert np.abs(drawn.mean()) < 0.5
    np.testing.assert_array_equal(errors(), drawn)


def test_a_method_without_its_package_is_skipped_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(METHODS, "oracle", Method(module="oracle", needs="no_such_package"))

    assert available(["product", "oracle"]) == ["product"]
    assert "oracle is skipped: no_such_package is not installed" in capsys.readouterr().err
