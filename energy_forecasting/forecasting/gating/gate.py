"""The gate between a new model and its meter's champion: who was better on the same hours.

Both are judged on recent hours that neither has learnt (``honest_hours``). One member answers
for each hour on both sides, never an ensemble's mean, which is 2 to 3 % better than its members
and which no hour inside the training's span could be asked honestly. The medians are compared,
as served without a temperature forecast; what a model thinks of temperature, and its intervals,
it cannot judge. Nor can it tell that the readings themselves have gone wrong: a meter that
reports nonsense is forecast best by a model of nonsense, which is what the data report is for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.model_card import ForecastMethod, GateReport, GateWindow, ModelCard
from energy_forecasting.domain.readings import Values, to_datetime64
from energy_forecasting.forecasting.evaluation import Weights, member_quantiles, standardise
from energy_forecasting.forecasting.features import LOOKBACK_HOURS, FeatureRows
from energy_forecasting.forecasting.gating.honest_hours import NOBODY, honest_members
from energy_forecasting.forecasting.gating.paired_test import p_value
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.model_quantiles import model_features, week_quantiles
from energy_forecasting.forecasting.quality.outliers import is_intermittent
from energy_forecasting.forecasting.recipe import HIDDEN_UNITS
from energy_forecasting.forecasting.seasonal_naive import week_ago

#: The latest days that both can be judged on.
WINDOW_DAYS = 56
#: With fewer days a difference proves nothing, and the fresher model serves.
LEAST_DAYS = 14
#: A lead of the champion that chance brings about less often keeps it in its place,
SIGNIFICANCE = 0.05
#: unless it is a smaller part of what last week's value usually errs by: two seeds of the same
#: training differ by up to 2 %, on some meters steadily.
SMALLEST_LEAD = 0.02

#: A day with fewer honest readings does not count.
_LEAST_HOURS_OF_A_DAY = 12

_MEDIAN = QUANTILE_LEVELS.index(0.5)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Contestant:
    """A model that can be asked for its medians."""

    card: ModelCard
    weights: Weights


#: Compares a new model with its meter's champion on the grid that the new one learnt from; None
#: when there is no champion.
Gate = Callable[[LocalGrid, Contestant], GateReport | None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Questions:
    """n hours to forecast, most of them from several origins."""

    origins: Hours  #: [m] grid hours, local midnights
    asked: Flags  #: [m, leads] the n pairs of origin and lead that count
    targets: Hours  #: [n] grid hours
    days: Hours  #: [n] 0 to the number of days - 1


def judge(grid: LocalGrid, *, challenger: Contestant, champion: Contestant) -> GateReport:
    """Compare a new model with the champion; in doubt the new one, which knows more, serves.

    Args:
        grid: all that the challenger learnt from.
        challenger: the new model.
        champion: what serves now.
    """
    version = champion.card.version
    obstacle = _obstacle(challenger, champion)
    if obstacle is not None:
        return without_comparison(version, obstacle)
    hours = _judged_hours(grid, [challenger.card, champion.card])
    days = np.unique(hours // HOURS_PER_DAY)
    if len(days) < LEAST_DAYS:
        return without_comparison(
            version,
            f"there are {len(days)} days that neither model has learnt, and {LEAST_DAYS} are "
            "needed",
        )
    if not all(_has_our_features(each, grid) for each in (challenger, champion)):
        return without_comparison(version, "another release trained it, on other features")
    questions = _questions(grid, hours, days)
    actual = grid.consumption[questions.targets]
    losses = [
        _daily_mean(np.abs(actual - _medians(each, grid, questions)), questions.days)
        for each in (challenger, champion)
    ]
    chance = p_value(losses[0] - losses[1])
    # The smaller one, as readings that were spoilt make a scale large.
    scale = min(challenger.card.scale, champion.card.scale)
    mase, champion_mase = (float(np.mean(each)) / scale for each in losses)
    promoted = chance >= SIGNIFICANCE or mase - champion_mase < SMALLEST_LEAD
    window = GateWindow(first_day=_date(grid, days[0]), last_day=_date(grid, days[-1]))
    verdict = "Not clearly worse than" if promoted else "Worse than"
    return GateReport(
        compared_with=version,
        window=window,
        days=len(days),
        challenger_mase=mase,
        champion_mase=champion_mase,
        p_value=chance,
        promoted=promoted,
        reason=f"{verdict} the champion {version}: MASE {mase:.3f} against {champion_mase:.3f} on "
        f"{len(days)} days that neither has learnt, {window.first_day} to {window.last_day} "
        f"(p = {chance:.2g}).",
    )


def without_comparison(version: str | None, obstacle: str) -> GateReport:
    """Promote a model that cannot be compared with the champion, and say why it cannot."""
    return GateReport(
        compared_with=version,
        window=None,
        days=0,
        challenger_mase=None,
        champion_mase=None,
        p_value=None,
        promoted=True,
        reason=f"Not compared with the champion{f' {version}' if version else ''}: {obstacle}.",
    )


def _obstacle(challenger: Contestant, champion: Contestant) -> str | None:
    """Return why the two cannot be compared."""
    new, old = challenger.card, champion.card
    for name in ("unit", "timezone", "country"):
        if getattr(new, name) != getattr(old, name):
            return f"the meter's {name} was {getattr(old, name)} and is {getattr(new, name)} now"
    if _is_network(old):
        layers = {name.split("/")[0] for name in champion.weights if name.startswith("hidden_")}
        if old.folds is None or len(layers) != len(HIDDEN_UNITS):
            return "another release trained it"
    return None


def _is_network(card: ModelCard) -> bool:
    return card.method is ForecastMethod.QUANTILE_NETWORK


def _has_our_features(contestant: Contestant, grid: LocalGrid) -> bool:
    card = contestant.card
    if not _is_network(card):
        return True
    built = _blind_features(contestant, grid, np.array([LOOKBACK_HOURS]), 1)
    return tuple(card.feature_names[: len(built.names)]) == built.names


def _blind_features(
    contestant: Contestant, grid: LocalGrid, origins: Hours, leads: int
) -> FeatureRows:
    card, weights = contestant.card, contestant.weights
    return model_features(card, weights, grid, origins, leads, temperature_ahead=None)


def _judged_hours(grid: LocalGrid, cards: list[ModelCard]) -> Hours:
    """Return the latest measured hours that all models can be judged on, ascending."""
    hours = np.arange(LOOKBACK_HOURS, len(grid))
    usable = np.isfinite(grid.consumption[hours])
    for card in cards:
        if card.folds is not None:
            usable &= honest_members(card.folds, grid, hours) != NOBODY
        elif card.method is ForecastMethod.POOLED_REGRESSION:  # has learnt all that it has seen
            usable &= hours > grid.hours_of(np.array([to_datetime64(card.data.last_reading)]))
    hours = hours[usable]
    days, counts = np.unique(hours // HOURS_PER_DAY, return_counts=True)
    judged = days[counts >= _LEAST_HOURS_OF_A_DAY][-WINDOW_DAYS:]
    return hours[np.isin(hours // HOURS_PER_DAY, judged)]


def _questions(grid: LocalGrid, hours: Hours, days: Hours) -> _Questions:
    judged = np.zeros(len(grid) + MAX_HORIZON_HOURS, dtype=bool)
    judged[hours] = True
    first = max(LOOKBACK_HOURS, int(days[0]) * HOURS_PER_DAY - MAX_HORIZON_HOURS)
    origins = np.arange(first, len(grid), HOURS_PER_DAY)
    targets = origins[:, None] + np.arange(MAX_HORIZON_HOURS)
    asks = judged[targets].any(axis=1)
    origins, targets = origins[asks], targets[asks]
    asked = judged[targets]
    return _Questions(
        origins=origins,
        asked=asked,
        targets=targets[asked],
        days=np.searchsorted(days, targets[asked] // HOURS_PER_DAY),
    )


def _medians(contestant: Contestant, grid: LocalGrid, questions: _Questions) -> Values:
    """Return the median of every question's hour, [n], in the meter's unit."""
    card = contestant.card
    if card.method is ForecastMethod.POOLED_REGRESSION:
        origins = questions.origins
        blind = [None] * len(origins)
        every = week_quantiles(card, contestant.weights, grid, origins, blind)
        medians = every[..., _MEDIAN][questions.asked]
    elif card.folds is None:
        medians = week_ago(grid, questions.targets)
    else:
        built = _blind_features(contestant, grid, questions.origins, MAX_HORIZON_HOURS)
        members = honest_members(card.folds, grid, questions.targets)
        departures = _network_medians(contestant, built, questions.asked, members)
        medians = built.base[questions.asked] + departures * card.scale
    if card.zero_median:
        week_before = questions.origins[:, None] - np.arange(HOURS_PER_WEEK, 0, -1)
        rests = [is_intermittent(week) for week in grid.consumption[week_before]]
        medians = np.where(np.array(rests)[np.nonzero(questions.asked)[0]], 0.0, medians)
    return np.maximum(medians, 0.0) if card.non_negative else medians


def _network_medians(
    contestant: Contestant, built: FeatureRows, asked: Flags, members: Hours
) -> Values:
    """Return the median departure of every question by the member that is asked, [n]."""
    # Members blind to temperature need its columns, but not what is in them.
    features = np.zeros((len(members), len(contestant.card.feature_names)), dtype=np.float32)
    features[:, : len(built.names)] = built.values[asked]
    seen = standardise(contestant.weights, features)
    medians = np.empty(len(members))
    for member in np.unique(members).tolist():
        rows = members == member
        medians[rows] = member_quantiles(contestant.weights, seen[rows], member)[:, _MEDIAN]
    return medians


def _daily_mean(losses: Values, days: Hours) -> Values:
    return np.asarray(np.bincount(days, weights=losses) / np.bincount(days))


def _date(grid: LocalGrid, day: int) -> date:
    local: date = (grid.start.astype("datetime64[D]") + day).item()
    return local
