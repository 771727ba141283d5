"""The gate at its place: which champion a new model meets, and what if that changes meanwhile.

The trainer reads the champion when it has trained, not before, and the worker looks once more
before it publishes. An operator who rolls back between the two wins. What remains are the
milliseconds between that look and the rename, on which no file system gives a lock that
holds for all machines.
"""

from pathlib import Path

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.domain.model_card import GateReport
from energy_forecasting.forecasting.gating.gate import Contestant, Gate, judge, without_comparison
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.registry.artifact import read_artifact


def gate_of(champion: Path) -> Gate:
    """Return the gate that the champion at a path guards; without a file there is none."""

    def compare(grid: LocalGrid, challenger: Contestant) -> GateReport | None:
        if not champion.is_file():
            return None
        try:
            card, weights = read_artifact(champion)
        except StorageFailed as error:
            return without_comparison(None, f"it cannot be read ({error.message.rstrip('.')})")
        return judge(grid, challenger=challenger, champion=Contestant(card=card, weights=weights))

    return compare


def settled(gate: GateReport | None, serving: str | None) -> GateReport | None:
    """Return the gate's decision in view of what serves now, just before publishing.

    Args:
        gate: what the trainer found; None when there was no champion.
        serving: version of the champion now; None when there is none that can be read.
    """
    if gate is None or serving == gate.compared_with:
        return gate
    if serving is None:
        reason = f"Nothing else serves: the champion {gate.compared_with} is gone. {gate.reason}"
        return gate.model_copy(update={"promoted": True, "reason": reason})
    return gate.model_copy(
        update={
            "promoted": False,
            "reason": f"The champion was changed to {serving} while this model was trained, and "
            "that choice stands. Train again to compare with it.",
        }
    )
