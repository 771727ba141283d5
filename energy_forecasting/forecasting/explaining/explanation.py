"""Why a forecast is what it is: parts in the meter's unit that add up to it, and sentences.

The parts start from the usual week, the mean of the same hour in the last four weeks, which an
analyst can check. Then comes what the model adds at that hour of the week in usual conditions
(see ``usual_conditions``), then the exact Shapley value of every group of inputs that is out of
the ordinary. They explain the median, not its interval; and the model, not the world: inputs
that say the same share their effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.explaining.feature_groups import (
    PLAIN_NAMES,
    FeatureGroup,
    columns_by_cause,
)
from energy_forecasting.forecasting.explaining.shapley import group_shapley
from energy_forecasting.forecasting.features import FeatureRows, Rows
from energy_forecasting.forecasting.grid import Hours

#: The parts that are no group of inputs.
USUAL_WEEK = "usual_week"
LAST_WEEK = "last_week"
NEVER_BELOW_ZERO = "never_below_zero"
RECENT_ERRORS = "recent_errors"
AT_REST = "at_rest"

#: How answers name the parts.
PART_NAMES: Mapping[str, str] = {
    **PLAIN_NAMES,
    USUAL_WEEK: "Usual week: mean of the same hour in the last four weeks",
    FeatureGroup.HOUR_OF_WEEK: "What the model adds at that hour of the week in usual conditions",
    LAST_WEEK: "Value of a week ago",
    RECENT_ERRORS: "Correction for what the forecasts since the training missed",
    AT_REST: "Set to zero: the meter mostly rests, and zero has been the better forecast",
    NEVER_BELOW_ZERO: "Raised to zero, below which the meter never was",
}

Parts = Mapping[str, Values]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explanation:
    """The n hours of a forecast, taken apart."""

    parts: Parts  #: name to [n] in the meter's unit; they add up to the forecast's median
    sentences: tuple[str, ...]


def explain_network(
    median_of: Callable[[Rows], Values], built: FeatureRows, usual: FeatureRows
) -> dict[str, Values]:
    """Take the network's medians of one origin apart, before any floor.

    Args:
        median_of: turns [m, f] features of the m leads into [m] medians, meter's unit.
        built: the features of one origin.
        usual: the same features in usual conditions.

    Returns:
        Name to [m] in the meter's unit, which add up to ``median_of`` the features.
    """
    actual = built.values[0]
    causes = columns_by_cause(built.names)
    reference = actual.copy()
    for columns in causes.values():
        reference[:, columns] = usual.values[0][:, columns]
    usual_week = built.base[0]
    at_that_hour = median_of(reference) - usual_week
    shares = group_shapley(median_of, actual, reference, causes)
    return {
        USUAL_WEEK: usual_week,
        FeatureGroup.HOUR_OF_WEEK.value: at_that_hour,
        **{group.value: share for group, share in shares.items()},
    }


def with_floor(parts: Parts, floor: float) -> dict[str, Values]:
    """Add the part that lifts the sum to the floor, if any hour lies below it.

    >>> with_floor({"usual_week": np.array([1.0, -2.0])}, 0.0)["never_below_zero"]
    array([0., 2.])
    """
    lift = np.maximum(floor - np.sum(list(parts.values()), axis=0), 0.0)
    return {**parts, NEVER_BELOW_ZERO: lift} if lift.any() else {**parts}


def at_hours(parts: Parts, hours: Hours) -> dict[str, Values]:
    """Return the parts of some hours."""
    return {name: values[hours] for name, values in parts.items()}
