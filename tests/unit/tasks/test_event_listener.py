"""However what was and what comes overlap, a listener yields each event once and in order."""

import asyncio
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks import event_listener
from energy_forecasting.tasks.event_listener import EventListener
from energy_forecasting.tasks.task_event import TaskEvent

LAST = 9
EVENTS = [
    TaskEvent(
        number=number,
        task_id="task",
        status=Stage.SUCCESS if number == LAST else Stage.TRAINING_MODEL,
        progress=50,
        message="",
        attempt=1,
        updated_at=datetime(2026, 1, 15, tzinfo=UTC),
    )
    for number in range(LAST + 1)
]


def heard(listener: EventListener) -> list[int]:
    async def hear() -> list[int]:
        events = listener.events(heartbeat_s=0.01)
        numbers = []
        async for event in events:
            if event is None:
                break
            numbers.append(event.number)
        return numbers

    return asyncio.run(hear())


@given(
    subscribed_at=st.integers(0, LAST + 1),
    read_at=st.integers(0, LAST + 1),
    seen=st.integers(-1, LAST),
)
def test_what_comes_twice_is_yielded_once(subscribed_at: int, read_at: int, seen: int) -> None:
    # Given: a subscription, and later the list, which may hold what the subscription brought, too
    subscribed_at, read_at = sorted((subscribed_at, read_at))
    listener = EventListener("task")
    for event in EVENTS[subscribed_at:]:
        listener.tell(event)
    listener.replay(EVENTS[seen + 1 : read_at], following=max(read_at, seen + 1))

    assert heard(listener) == list(range(seen + 1, LAST + 1))


def test_a_missing_event_ends_the_stream_instead_of_being_passed_over() -> None:
    listener = EventListener("task")
    listener.replay(EVENTS[:3], following=3)
    listener.tell(EVENTS[4])
    listener.tell(EVENTS[5])

    assert heard(listener) == [0, 1, 2]


def test_a_client_that_does_not_read_is_dropped_and_holds_nothing() -> None:
    listener = EventListener("task")
    told = [listener.tell(EVENTS[0]) for _ in range(event_listener.QUEUE_LIMIT + 1)]

    assert told == [True] * event_listener.QUEUE_LIMIT + [False]
    assert heard(listener) == []
