"""Publishes forecasts from a worker process, every so many minutes.

Every worker process runs this thread; of all of them one at a time publishes. A pass that fails is
not repeated before its next turn. It never takes the worker down: whatever goes wrong is logged.
"""

import threading

import structlog

from energy_forecasting.domain.errors import Cancelled, Conflict, EnergyForecastingError
from energy_forecasting.serving.forecast_publisher import ForecastPublisher
from energy_forecasting.tasks.publishing_right import PublishingRight

#: How often a process asks whether it is its turn.
ASK_S = 10.0
#: A stopping worker waits so long for the meter that is being forecast.
STOP_S = 5.0

logger = structlog.get_logger("task.publishing")


class ForecastPublishing:
    """A thread that publishes when it is its turn."""

    def __init__(
        self, publisher: ForecastPublisher, right: PublishingRight, *, every_s: float
    ) -> None:
        self._publisher = publisher
        self._right = right
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="publishing")

    def start(self) -> None:
        """Begin to ask for a turn."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more; a pass under way ends after the meter that it is at."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)

    def publish_in_turn(self) -> None:
        """Run a pass if it is this process's turn.

        Raises:
            ConnectionFailed: Redis is away.
        """
        if not self._right.take_turn(self._every_s):
            return
        with self._right.held() as renew:

            def before_each() -> None:
                if self._stop.is_set():
                    raise Cancelled("The worker stops.")
                renew()

            self._publisher.publish(before_each=before_each)

    def _run(self) -> None:
        while not self._stop.wait(min(ASK_S, self._every_s)):
            try:
                self.publish_in_turn()
            except Conflict as busy:
                logger.debug("Not publishing", reason=busy.message)
            except EnergyForecastingError as error:
                logger.debug("Could not publish", error=error.message)  # the heart reports it
            except Exception:
                # Forecasts beside the readings are not worth a worker's trainings.
                logger.exception("Publishing met an unexpected error; the next turn tries again")
