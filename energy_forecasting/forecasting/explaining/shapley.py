"""Exact Shapley values of a few groups of inputs: who caused which part of a difference.

A value is a group's mean effect over every order in which the groups' inputs could turn from
the reference's to the actual ones (Shapley, 1953; with a stated reference: Sundararajan and
Najmi, 2020, "The many Shapley values for model explanation"; for groups: Jullum, Redelmeier
and Aas, 2021). The values of all groups add up to the whole difference; a group that changes
nothing gets nothing. The model is evaluated 2 to the power of the groups times: fit for six
groups, not for sixty.
"""

from collections.abc import Callable, Mapping
from math import comb
from typing import TypeVar

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.grid import Flags

Name = TypeVar("Name")


def group_shapley(
    value_of: Callable[[Rows], Values], actual: Rows, reference: Rows, groups: Mapping[Name, Flags]
) -> dict[Name, Values]:
    """Share out value_of(actual) - value_of(reference), row by row.

    Args:
        value_of: turns [rows, f] into [rows]; each row by itself.
        actual: [rows, f].
        reference: [rows, f]; equal to ``actual`` in columns of no group.
        groups: which columns each group owns, [f]; no column belongs to two.

    Returns:
        [rows] of each group.

    >>> product = lambda rows: rows[:, 0] * rows[:, 1]
    >>> ones, zeros = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    >>> columns = {"a": np.array([True, False]), "b": np.array([False, True])}
    >>> {name: float(share[0]) for name, share in group_shapley(
    ...     product, ones, zeros, columns).items()}
    {'a': 0.5, 'b': 0.5}
    """
    shares = {name: np.zeros(len(actual)) for name in groups}
    differs = (actual != reference).any(axis=0)
    moving = [name for name, columns in groups.items() if differs[columns].any()]
    count = len(moving)
    values = []
    for coalition in range(2**count):
        rows = reference.copy()
        for place, name in enumerate(moving):
            if coalition >> place & 1:
                rows[:, groups[name]] = actual[:, groups[name]]
        values.append(value_of(rows))
    for place, name in enumerate(moving):
        joined = 1 << place
        for coalition in range(2**count):
            if not coalition & joined:
                orders = count * comb(count - 1, coalition.bit_count())
                shares[name] += (values[coalition | joined] - values[coalition]) / orders
    return shares
