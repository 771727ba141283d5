"""A whole run: one stack, its storms one after the other, and its end in good order."""

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.report import Report
from tests.chaos.stack import running_stack
from tests.chaos.storm import StormResult, run_storm
from tests.chaos.storm_plan import plan_storm
from tests.chaos.violation import Violation, Wrong


def run(
    folder: Path, *, names: Sequence[str], seed: int, tasks: int, influxd: str | None
) -> Report:
    """Run storms on a stack that is started in a folder and stopped at the end.

    Args:
        folder: that does not exist yet; logs stay in it.
        names: of the storms, in order.
        seed: of every choice.
        tasks: trainings in all, at least.
        influxd: the InfluxDB to use; None puts the meters into SQLite.
    """
    results: list[StormResult] = []
    with running_stack(folder, influxd=influxd) as stack:
        for name in names:
            plan = plan_storm(name, seed=seed, without=stack.impossible)
            print(f"{name}: {len(plan.strikes)} strikes", flush=True)
            earlier = frozenset(task_id for result in results for task_id in result.stories)
            share = -(-tasks // len(names))
            results.append(run_storm(stack, plan, seed=seed, tasks=share, earlier=earlier))
        left_out = [f"{fault} (not to be had on this machine)" for fault in stack.impossible]
        end = [Violation(wrong=Wrong.ORPHAN, sentence=sentence) for sentence in stack.stop()]
    return Report(results, seed=seed, left_out=left_out, end=end)
