"""Which hours a model can be judged on: those that the member which answers did not learn.

Every training teaches on nearly all of its history, so two models of the same meter have both
seen most of the recent past. Each member of an ensemble left out a part of it, and nobody has
learnt what came after the end of the data. It cannot tell what a model *tuned* on: settings are
chosen on the last weeks, four numbers out of a few, which is next to nothing.
"""

from collections.abc import Sequence

import numpy as np

from energy_forecasting.domain.model_card import Folds
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.recipe import FOLD_HOURS, FOLDS, LATEST_FORTNIGHTS, Member

#: In the place of a member's position: every member has learnt the hour.
NOBODY = -1


def folds_of(grid: LocalGrid, members: Sequence[Member]) -> Folds:
    """Describe what members that learn from a whole grid leave out (see ``examples``)."""
    return Folds(
        until=(grid.start + len(grid)).astype("datetime64[s]").item(),
        block_hours=FOLD_HOURS,
        blocks_for_all=LATEST_FORTNIGHTS,
        count=FOLDS,
        left_out=[member.fold for member in members if not member.sees_temperature],
    )


def honest_members(folds: Folds, grid: LocalGrid, hours: Hours) -> Hours:
    """Return for each grid hour the position of a member that did not learn it, else NOBODY.

    Hours after the end of a model's data are honest for all of its members; they are dealt to
    them as if the blocks went on, so that each member answers for its share.

    Args:
        folds: of the model.
        grid: any grid of the same meter and time zone, also a longer or later one.
        hours: [n] hours of that grid.
    """
    end = int((np.datetime64(folds.until, "h") - grid.start).astype(np.int64))
    block = (end - 1 - hours) // folds.block_hours  # negative after the end
    member_of_fold = np.full(folds.count, NOBODY)
    for position, fold in reversed(list(enumerate(folds.left_out))):
        member_of_fold[fold] = position
    learnt_by_all = (block >= 0) & (block < folds.blocks_for_all)
    return np.where(learnt_by_all, NOBODY, member_of_fold[block % folds.count])
