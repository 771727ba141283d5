"""The series of a bucket, held in memory: asked in Flux, written in line protocol."""

import threading
from collections.abc import Iterable

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from tests.integration.meters.flux_language import SECOND_NS, FluxParser, Value
from tests.integration.meters.flux_names import NAMING, named
from tests.integration.meters.flux_tables import Series, Table, applied
from tests.integration.meters.influx_refusal import Refusal, compile_error
from tests.integration.meters.line_protocol_reader import Point

_SHARD_NS = 7 * 86_400 * SECOND_NS  #: within which a field has one type


class FluxDatabase:
    """One bucket; safe to use from several threads."""

    bucket = "the-bucket"
    measurement = "energy_consumption"

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.kept_from_s: int | None = None  #: older points are outside the retention period
        self._storage = threading.Lock()

    def add_history(self, meter: Meter, history: History, **more_tags: str) -> None:
        """Hold a meter's history; NaN means that there is no point."""
        seconds = history.timestamps.astype(np.int64).tolist()
        for name, values in (
            ("consumption", history.consumption),
            ("temperature", history.temperature),
        ):
            known = zip(seconds, values.tolist(), strict=True)
            self.add_points(
                meter,
                name,
                ((at * SECOND_NS, value) for at, value in known if not np.isnan(value)),
                **more_tags,
            )

    def add_points(
        self,
        meter: Meter,
        name: str,
        points: Iterable[tuple[int, Value]],
        *,
        datatype: str = "double",
        **more_tags: str,
    ) -> None:
        """Hold points of one field, times in nanoseconds since 1970."""
        held = list(points)
        if held:
            tags = {
                "_measurement": self.measurement,
                "_field": name,
                "meter_type": meter.meter_type,
                "meter_id": meter.meter_id,
                **more_tags,
            }
            self.series.append(Series(tags, datatype, held))

    def run(self, flux: str) -> list[Table]:
        """Parse and run a query."""
        source, *calls = FluxParser(flux).pipeline()
        if source.name != "from" or source.arguments.keys() != {"bucket"}:
            raise compile_error("expected from(bucket:)")
        if source.arguments["bucket"] != self.bucket:
            raise Refusal(
                404,
                "not found",
                "failed to initialize execute state: could not find bucket "
                f'"{source.arguments["bucket"]}"',
            )
        if not calls or calls[0].name != "range":
            raise Refusal(400, "invalid", "cannot submit unbounded read; try bounding with 'range'")
        with self._storage:
            series = [Series(each.tags, each.datatype, [*each.points]) for each in self.series]
        tables: list[Table] = []
        for call in calls:
            names = call.name in NAMING
            tables = named(call, tables) if names else applied(call, series, tables)
        return tables

    def take(self, points: list[Point]) -> None:
        """Write points, all but those that a server would drop, which it tells afterwards."""
        dropped: list[str] = []
        with self._storage:
            for point in points:
                why = self._objection(point)
                if why is None:
                    self._put(point)
                else:
                    dropped.append(why)
        if dropped:
            told = f"failure writing points to database: partial write: {dropped[0]}"
            raise Refusal(422, "unprocessable entity", f"{told} dropped={len(dropped)}")

    def _objection(self, point: Point) -> str | None:
        if self.kept_from_s is not None and point.time < self.kept_from_s:
            return "points beyond retention policy"
        for name, (datatype, _) in point.fields.items():
            shard = point.time * SECOND_NS // _SHARD_NS
            for each in self.series:
                same = (each.tags["_measurement"], each.tags["_field"])
                if (
                    same == (point.tags["_measurement"], name)
                    and each.datatype != datatype
                    and any(at // _SHARD_NS == shard for at, _ in each.points)
                ):
                    return (
                        f'field type conflict: input field "{name}" on measurement "{same[0]}" is '
                        f"type {datatype}, already exists as type {each.datatype}"
                    )
        return None

    def _put(self, point: Point) -> None:
        for name, (datatype, value) in point.fields.items():
            tags = {**point.tags, "_field": name}
            for each in self.series:
                if each.tags == tags and each.datatype == datatype:
                    each.points.append((point.time * SECOND_NS, value))
                    break
            else:
                points = [(point.time * SECOND_NS, value)]
                self.series.append(Series(tags, datatype, points))
