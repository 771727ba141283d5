"""One storm over a running stack: clients order, faults strike, calm returns, a verdict falls."""

import os
import random
import time
from dataclasses import dataclass, field

import redis

from energy_forecasting.registry.model_registry import ABANDONED_S
from tests.chaos.clients import Clients
from tests.chaos.event_stream import EventStream
from tests.chaos.fault_kinds import Fault
from tests.chaos.faults import Injury, Striker
from tests.chaos.meter_fleet import METERS
from tests.chaos.patience import comes_true
from tests.chaos.recovery import recovery_s
from tests.chaos.stack import ChaosStack
from tests.chaos.storm_plan import StormPlan, plan_orders
from tests.chaos.task_story import TaskStory, read_stories
from tests.chaos.verdict import judge_models, judge_queues, judge_remnants, judge_tasks
from tests.chaos.violation import Violation, Wrong
from tests.chaos.witness import Onlooker, Witness

#: A kill -9 of a worker is overcome by then.
WORKER_RECOVERY_LIMIT_S = 15.0
#: How long a strike waits for the one before to be overcome.
_OVERCOME_LIMIT_S = 60.0
#: How long open tasks, queues and leases may take to settle: a retry waits 60 s at most.
_SETTLE_LIMIT_S = 120.0
_LOOK_EVERY_S = 0.1
_STRIKE_EARLIEST = 4  #: tasks accepted before the first strike


@dataclass(kw_only=True, slots=True)
class StormResult:
    """What a storm did and what came of it."""

    plan: StormPlan
    seconds: float = 0.0
    injuries: list[Injury] = field(default_factory=list)
    recoveries: list[float | None] = field(default_factory=list)  #: of each injury
    stories: dict[str, TaskStory] = field(default_factory=dict)
    accepted: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    champions_read: int = 0
    swept: int = 0  #: unfinished files of killed processes, which the next training removed
    violations: list[Violation] = field(default_factory=list)


def run_storm(
    stack: ChaosStack,
    plan: StormPlan,
    *,
    seed: int,
    tasks: int,
    earlier: frozenset[str] = frozenset(),
) -> StormResult:
    """Run one storm until calm has returned.

    Args:
        stack: that is ready.
        plan: of the strikes.
        seed: of orders and of what is left to chance in the moment.
        tasks: accepted at least, more if the strikes take longer.
        earlier: tasks of storms before, which are judged again but not counted.
    """
    started = time.monotonic()
    dice = random.Random(f"{seed} {plan.name} strikes")  # noqa: S311 - to be repeated
    witness = Witness()
    events = EventStream(stack.redis.url)
    orders = plan_orders(plan.name, seed=seed, meters=METERS)
    clients = Clients(witness, events, orders, url=stack.url)
    onlooker = Onlooker(witness, url=stack.url, models=stack.registry.root, every_s=_LOOK_EVERY_S)
    result = StormResult(plan=plan)
    for each in (events, onlooker, clients):
        each.start()
    comes_true(lambda: len(witness.accepted) >= _STRIKE_EARLIEST, within_s=_OVERCOME_LIMIT_S)
    striker = Striker(stack, events, dice)
    for strike in plan.strikes:
        time.sleep(strike.breath_s)
        injury = striker.strike(strike)
        result.injuries.append(injury)
        if plan.waits:
            comes_true(lambda: _is_over(stack, injury), within_s=_OVERCOME_LIMIT_S)  # noqa: B023 - called at once
    comes_true(lambda: len(witness.accepted) >= tasks, within_s=_SETTLE_LIMIT_S + tasks)
    clients.finish()
    comes_true(lambda: _is_calm(stack, witness), within_s=_SETTLE_LIMIT_S)
    result.swept = _have_swept(stack, clients)
    has_settled = comes_true(lambda: _is_calm(stack, witness), within_s=_SETTLE_LIMIT_S)
    onlooker.stop()
    events.stop()
    clients.close()
    result.stories = read_stories(stack.redis.client, set(witness.accepted))
    result.recoveries = [recovery_s(injury, result.stories) for injury in result.injuries]
    result.violations = [
        *witness.violations,
        *judge_tasks(result.stories, witness.accepted, clients.cancelled),
        *judge_models(result.stories, stack.registry.root),
        *judge_remnants(stack.redis.client, stack.registry.root),
        *_judge_recoveries(result),
        *_judge_orphans(stack),
    ]
    if not has_settled and not result.violations:
        result.violations.append(
            Violation(wrong=Wrong.LOST, sentence=f"{plan.name} had not settled in time")
        )
    result.stories = {k: v for k, v in result.stories.items() if k not in earlier}
    result.accepted = len(witness.accepted)
    result.answers = dict(witness.answers)
    result.champions_read = witness.champions_read
    result.seconds = time.monotonic() - started
    return result


def _is_over(stack: ChaosStack, injury: Injury) -> bool:
    try:
        stories = read_stories(stack.redis.client, set(injury.affected))
    except redis.RedisError:
        return False
    return recovery_s(injury, stories) is not None and stack.is_ready()


def _have_swept(stack: ChaosStack, clients: Clients) -> int:
    """Let the next training find what killed processes left, as if ten minutes had passed.

    Returns:
        How many unfinished files there were.
    """
    left = list(stack.incoming.glob("*"))
    long_ago = time.time() - 2 * ABANDONED_S
    for path in left:
        os.utime(path, (long_ago, long_ago))
    clients.order_one()
    return len(left)


def _is_calm(stack: ChaosStack, witness: Witness) -> bool:
    """Whether nothing waits to be done, and everybody is there to do it."""
    try:
        stories = read_stories(stack.redis.client, set(witness.accepted))
        return (
            all(story.is_over for story in stories.values())
            and not any(judge_queues(stack.redis.client))
            and stack.is_ready()
            and not stack.orphans()
        )
    except redis.RedisError:
        return False


def _judge_recoveries(result: StormResult) -> list[Violation]:
    late = []
    for injury, seconds in zip(result.injuries, result.recoveries, strict=True):
        if not injury.struck:
            continue
        if seconds is None:
            what = f"{injury.strike.fault} at {injury.strike.stage} was never overcome"
            late.append(Violation(wrong=Wrong.SLOW, sentence=what))
        elif (
            result.plan.waits  # else the strikes after it prolong it
            and injury.strike.fault is Fault.WORKER_KILLED
            and seconds > WORKER_RECOVERY_LIMIT_S
        ):
            what = f"{injury.strike.fault} at {injury.strike.stage} took {seconds:.1f} s"
            late.append(Violation(wrong=Wrong.SLOW, sentence=what))
    return late


def _judge_orphans(stack: ChaosStack) -> list[Violation]:
    return [
        Violation(wrong=Wrong.ORPHAN, sentence=f"process {process.pid} belongs to nobody")
        for process in stack.orphans()
    ]
