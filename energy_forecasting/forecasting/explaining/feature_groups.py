"""What the features mean to an analyst: every feature belongs to exactly one named group.

Importance and explanations speak of these groups, never of single features: a network spreads
what it learns over inputs that say nearly the same, so that a single input's share means little.
A new feature needs a place here; a test compares the table with what is built.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import numpy as np

from energy_forecasting.forecasting.features import (
    SIGHTED_SUFFIX,
    SURPRISE_FEATURES,
    TEMPERATURE_FEATURES,
)
from energy_forecasting.forecasting.grid import Flags


class FeatureGroup(StrEnum):
    """A group of inputs that tell of the same thing."""

    USUAL_LEVEL = "usual_level"  #: how much the usual week uses at that hour
    HOUR_OF_WEEK = "hour_of_week"  #: hour of day and day of week; a holiday counts as a Sunday
    HOURS_AHEAD = "hours_ahead"
    LAST_WEEKS = "last_weeks"
    LAST_DAYS = "last_days"
    RECENT_LEVEL = "recent_level"
    LAST_HOURS = "last_hours"
    HOLIDAYS = "holidays"  #: whether the hour, or those it is compared with, are a holiday's
    TEMPERATURE = "temperature"


#: How answers name the groups.
PLAIN_NAMES: Mapping[str, str] = {
    FeatureGroup.USUAL_LEVEL: "Level of the usual week",
    FeatureGroup.HOUR_OF_WEEK: "Hour of day and day of week",
    FeatureGroup.HOURS_AHEAD: "Hours ahead",
    FeatureGroup.LAST_WEEKS: "Same hour in the last three weeks",
    FeatureGroup.LAST_DAYS: "Same hour on the last seven days",
    FeatureGroup.RECENT_LEVEL: "Level of the last days, and what was unexpected about them",
    FeatureGroup.LAST_HOURS: "Last six hours",
    FeatureGroup.HOLIDAYS: "Public holidays",
    FeatureGroup.TEMPERATURE: "Temperature",
}

#: What readings shortly before a forecast tell.
RECENT_CONSUMPTION = (
    FeatureGroup.LAST_WEEKS,
    FeatureGroup.LAST_DAYS,
    FeatureGroup.RECENT_LEVEL,
    FeatureGroup.LAST_HOURS,
)

_DAYS, _HARMONICS = range(1, 8), (1, 2, 3)

#: Surprises of a model that knows the temperature are about consumption, too.
_UNEXPECTED = (
    *SURPRISE_FEATURES,
    *(f"{name}{SIGHTED_SUFFIX}" for name in SURPRISE_FEATURES),
)
_OF_LAST_HOURS = ("unexpected_3h", "unexpected_6h")

#: The members of each group.
FEATURES_OF = {
    FeatureGroup.USUAL_LEVEL: ("base",),
    FeatureGroup.HOUR_OF_WEEK: (
        *(f"hour_{wave}_{harmonic}" for harmonic in _HARMONICS for wave in ("sin", "cos")),
        *(f"weekday_{day}" for day in range(7)),
        *(f"weekend_hour_{wave}_{harmonic}" for harmonic in (1, 2) for wave in ("sin", "cos")),
    ),
    FeatureGroup.HOURS_AHEAD: ("lead", "lead_fading_24h", "lead_fading_3h"),
    FeatureGroup.LAST_WEEKS: (
        *("week_1", "week_2", "week_3"),
        *("week_1_next_hour", "week_1_previous_hour"),
    ),
    FeatureGroup.LAST_DAYS: (*(f"day_{ago}" for ago in _DAYS), "days_median", "days_mean"),
    FeatureGroup.RECENT_LEVEL: (
        *("level_day_to_week", "level_week_to_month", "level_day_before_to_week"),
        *("surprise_24h", "surprise_168h"),
        *(name for name in _UNEXPECTED if not name.startswith(_OF_LAST_HOURS)),
    ),
    FeatureGroup.LAST_HOURS: (
        *("surprise_1h", "surprise_3h", "surprise_6h"),
        *("surprise_1h_fading", "surprise_3h_fading"),
        *(name for name in _UNEXPECTED if name.startswith(_OF_LAST_HOURS)),
    ),
    FeatureGroup.HOLIDAYS: ("holiday", "holiday_week_1", "holiday_day_1", "holiday_weeks_mean"),
    FeatureGroup.TEMPERATURE: TEMPERATURE_FEATURES,
}

_GROUP_OF = {feature: group for group, features in FEATURES_OF.items() for feature in features}


def columns_by_cause(names: Sequence[str]) -> dict[FeatureGroup, Flags]:
    """Return the columns that change from one week to another at the same hour of the week.

    There the hour of the week changes only when one of the two days is a holiday, which counts
    as a Sunday; so its columns count as the holidays'.

    Args:
        names: the f features.

    Returns:
        For each group that is present, whether it owns each column, [f].
    """
    holidays = columns_of(names, (FeatureGroup.HOLIDAYS, FeatureGroup.HOUR_OF_WEEK))
    causes = (*RECENT_CONSUMPTION, FeatureGroup.HOLIDAYS, FeatureGroup.TEMPERATURE)
    columns = {cause: columns_of(names, (cause,)) for cause in causes}
    columns[FeatureGroup.HOLIDAYS] = holidays
    return {cause: owned for cause, owned in columns.items() if owned.any()}


def columns_of(names: Sequence[str], groups: Iterable[FeatureGroup]) -> Flags:
    """Return whether each feature belongs to one of the groups, [f].

    >>> columns_of(["base", "day_1", "lead"], [FeatureGroup.LAST_DAYS]).tolist()
    [False, True, False]
    """
    wanted = set(groups)
    return np.array([_GROUP_OF[name] in wanted for name in names])
