"""The methods side by side: means over meters, who wins how often, and whether that is luck.

Methods are compared only on the meters, origins and horizons that they share with the product.
The p-value is of Wilcoxon's signed-rank test, two-sided, of the MASE of each meter against the
product's. It says nothing about how large a difference is, it takes meters as independent, and
it is not corrected for the number of methods.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from benchmarks.measuring import Score
from benchmarks.methods import NAIVE, PRODUCT

_NOMINAL_COVERAGE = 0.8

_HEADER = (
    f"{'method':17} {'meters':>6} {'MASE':>6} {'median':>6} {'WAPE':>6} {'CRPS':>6} {'cover80':>7} "
    f"{'|c-.8|':>6} {'>naive':>6} {'>prod':>6} {'p':>8} {'train s':>7} {'fc ms':>7} "
    f"{'peak MB':>7} {'+MB':>5}"
)


class Contest(NamedTuple):
    """What scores must have in common to be compared."""

    setting: str
    history_weeks: int | None
    horizon: int
    origin_hour: int
    every_days: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One method in one contest: means over meters unless said otherwise."""

    method: str
    meters: int
    mase: float
    median_mase: float
    wape: float
    crps: float
    coverage80: float
    coverage_deviation: float  #: mean over meters of |coverage - .8|
    wins_against_naive: float  #: share of the common meters; NaN when not measured
    wins_against_product: float
    p_value: float  #: of no difference to the product; NaN for itself or without scipy
    train_s: float
    predict_s: float
    peak_mb: float  #: the largest over meters
    growth_mb: float  #: the largest over meters


def summarise(scores: Sequence[Score]) -> list[Summary]:
    """Summarise the scores of one contest, method by method."""
    methods = dict.fromkeys(score.method for score in scores)
    by_method = {
        method: {score.meter_id: score for score in scores if score.method == method}
        for method in methods
    }
    naive, product = by_method.get(NAIVE, {}), by_method.get(PRODUCT, {})
    return [_summary(method, own, naive, product) for method, own in by_method.items()]


def print_tables(scores: Iterable[Score]) -> None:
    """Print one table for each contest."""
    contests: dict[Contest, list[Score]] = {}
    for score in scores:
        contest = Contest(
            score.setting, score.history_weeks, score.horizon, score.origin_hour, score.every_days
        )
        contests.setdefault(contest, []).append(score)
    for contest, group in sorted(contests.items(), key=lambda item: _order(item[0])):
        origins = max(score.origins for score in group)
        print(
            f"\n{contest.setting}, {contest.horizon} h ahead, from hour {contest.origin_hour}, "
            f"{origins} origins a meter{_cut(contest)}"
        )
        print(_HEADER)
        for summary in summarise(group):
            print(_line(summary))


def _summary(
    method: str, own: Mapping[str, Score], naive: Mapping[str, Score], product: Mapping[str, Score]
) -> Summary:
    lines = list(own.values())
    mase = [line.mase for line in lines]
    coverage = np.array([line.coverage80 for line in lines])
    return Summary(
        method=method,
        meters=len(lines),
        mase=float(np.mean(mase)),
        median_mase=float(np.median(mase)),
        wape=float(np.nanmean([line.wape for line in lines])),
        crps=float(np.mean([line.crps for line in lines])),
        coverage80=float(coverage.mean()),
        coverage_deviation=float(np.abs(coverage - _NOMINAL_COVERAGE).mean()),
        wins_against_naive=_win_rate(own, naive),
        wins_against_product=_win_rate(own, product),
        p_value=_p_value(own, product),
        train_s=float(np.mean([line.train_s for line in lines])),
        predict_s=float(np.mean([line.predict_s for line in lines])),
        peak_mb=max(line.peak_mb for line in lines),
        growth_mb=max(line.growth_mb for line in lines),
    )


def _gains(own: Mapping[str, Score], other: Mapping[str, Score]) -> list[float]:
    """Return how much lower the own MASE is on each common meter."""
    return [other[meter_id].mase - own[meter_id].mase for meter_id in own if meter_id in other]


def _win_rate(own: Mapping[str, Score], other: Mapping[str, Score]) -> float:
    """Return the share of common meters that are won; NaN against oneself or nobody."""
    gains = _gains(own, other)
    return float(np.mean([gain > 0 for gain in gains])) if gains and own != other else np.nan


def _p_value(own: Mapping[str, Score], product: Mapping[str, Score]) -> float:
    gains = _gains(own, product)
    if not any(gains) or find_spec("scipy") is None:
        return np.nan
    from scipy.stats import wilcoxon  # noqa: PLC0415 - the tables do without it

    return float(wilcoxon(gains).pvalue)


def _cut(contest: Contest) -> str:
    weeks = contest.history_weeks
    return "" if weeks is None else f", history cut to {weeks} weeks"


def _order(contest: Contest) -> tuple[int, str, int, int, int]:
    return (
        contest.every_days,
        contest.setting,
        contest.history_weeks or 0,
        contest.origin_hour,
        contest.horizon,
    )


def _line(summary: Summary) -> str:
    cells = (
        f"{summary.method:17} {summary.meters:6d} {summary.mase:6.3f} {summary.median_mase:6.3f} "
        f"{summary.wape:6.3f} {summary.crps:6.3f} {summary.coverage80:7.3f} "
        f"{summary.coverage_deviation:6.3f} {summary.wins_against_naive:6.0%} "
        f"{summary.wins_against_product:6.0%} {summary.p_value:8.2g} {summary.train_s:7.2f} "
        f"{1000 * summary.predict_s:7.1f} {summary.peak_mb:7.0f} {summary.growth_mb:5.0f}"
    )
    return cells.replace("nan%", "   -").replace("nan", "  -")
