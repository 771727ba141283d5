"""How long the system needed to be over a strike, from what the events tell.

Over it means: each task that was struck runs again, or has ended. Where no task was struck, the
next success shows that trainings go through. Times are Redis's, as all processes share a machine.
"""

from collections.abc import Collection, Mapping

from energy_forecasting.domain.stages import Stage
from tests.chaos.faults import Injury
from tests.chaos.task_story import TaskStory


def recovery_s(injury: Injury, stories: Mapping[str, TaskStory]) -> float | None:
    """Return seconds until the system was over an injury; None if it is not yet."""
    if injury.affected:
        moments = [_moves_again_ms(injury, stories.get(each)) for each in injury.affected]
    else:
        moments = [_next_success_ms(injury, stories.values())]
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(moments):
        return None
    return max(0.0, (max(known) - injury.counted_from_ms) / 1000)


def _moves_again_ms(injury: Injury, story: TaskStory | None) -> int | None:
    if story is None:
        return None
    if story.ended_ms is not None and story.ended_ms <= injury.begun_ms:
        return injury.begun_ms  # only its message was hit
    return min(
        (
            event.at_ms
            for event in story.events
            if event.at_ms >= injury.begun_ms
            and (event.stage is Stage.STARTED or event.stage.is_terminal)
        ),
        default=None,
    )


def _next_success_ms(injury: Injury, stories: Collection[TaskStory]) -> int | None:
    return min(
        (
            event.at_ms
            for story in stories
            for event in story.events
            if event.stage is Stage.SUCCESS and event.at_ms >= injury.counted_from_ms
        ),
        default=None,
    )
