"""What was last published of each meter, kept in Redis for all processes that publish.

One hash for all meters and targets: a meter that goes to another target is published there anew.
Without an expiry, as it holds one short entry per meter; a Redis that loses it costs one pass
that writes the same points again.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import redis

from energy_forecasting.domain.meters import Meter
from energy_forecasting.serving.forecast_marks import ForecastMark
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import PREFIX

#: Hash of ``meter_type/meter_id`` to ``[target, model_version, last_reading]`` in JSON.
MARKS = f"{PREFIX}forecasts:published"


class RedisForecastMarks:
    """One round trip to read all marks, one to set some; see the protocol ``ForecastMarks``."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._url = url

    def read(self, target: str) -> dict[Meter, ForecastMark]:
        """Return the marks of every meter that was last published to a target."""
        with redis_faults_translated(self._url):
            entries = cast("dict[str, str]", self._client.hgetall(MARKS))
        marks = {}
        for name, entry in entries.items():
            marked_target, model_version, last_reading = json.loads(entry)
            if marked_target == target:
                meter_type, _, meter_id = name.partition("/")
                marks[Meter(meter_type=meter_type, meter_id=meter_id)] = ForecastMark(
                    model_version=model_version, last_reading=datetime.fromisoformat(last_reading)
                )
        return marks

    def write(self, target: str, marks: Mapping[Meter, ForecastMark]) -> None:
        """Set marks; those of other meters stay."""
        entries: dict[Any, Any] = {  # text to text; redis-py's type is invariant
            str(meter): json.dumps([target, mark.model_version, mark.last_reading.isoformat()])
            for meter, mark in marks.items()
        }
        if entries:
            with redis_faults_translated(self._url):
                self._client.hset(MARKS, mapping=entries)
