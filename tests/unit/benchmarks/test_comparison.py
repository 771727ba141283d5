"""The table of the accuracy benchmark."""

import math

import pytest

from benchmarks.comparison import print_tables, summarise
from benchmarks.measuring import Score


def score(method: str, meter_id: str, mase: float, coverage80: float = 0.8) -> Score:
    return Score(
        meter_id=meter_id,
        meter_type="electricity",
        setting="notemp",
        history_weeks=2,
        horizon=24,
        origin_hour=0,
        every_days=1,
        origins=56,
        method=method,
        mase=mase,
        wape=0.1,
        crps=mase * 0.8,
        coverage80=coverage80,
        train_s=1.0,
        predict_s=0.004,
        peak_mb=100.0,
        growth_mb=10.0,
    )


def test_a_method_is_compared_on_the_meters_that_it_shares() -> None:
    # Given an opponent that was measured on three of the product's four meters
    scores = [score("product", meter, 0.8) for meter in "abcd"]
    scores += [score("seasonal_naive", meter, 1.0) for meter in "abcd"]
    scores += [score("ridge", "a", 0.7), score("ridge", "b", 0.9), score("ridge", "c", 1.1)]

    # When they are summarised
    product, naive, ridge = summarise(scores)

    # Then shares are of common meters, and nobody competes with himself
    assert (ridge.meters, ridge.median_mase) == (3, 0.9)
    assert ridge.wins_against_product == pytest.approx(1 / 3)
    assert ridge.wins_against_naive == pytest.approx(2 / 3)
    assert product.wins_against_naive == 1
    assert naive.wins_against_product == 0
    assert math.isnan(product.wins_against_product)
    assert math.isnan(product.p_value)


def test_too_wide_and_too_narrow_intervals_do_not_cancel() -> None:
    scores = [score("product", "a", 0.8, 0.7), score("product", "b", 0.8, 0.9)]

    (product,) = summarise(scores)

    assert product.coverage80 == pytest.approx(0.8)
    assert product.coverage_deviation == pytest.approx(0.1)


def test_the_table_shows_a_dash_where_nothing_was_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_tables([score("product", "a", 0.8)])

    table = capsys.readouterr().out
    assert "notemp, 24 h ahead, from hour 0, 56 origins a meter, history cut to 2 weeks" in table
    assert "nan" not in table
