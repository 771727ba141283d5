"""Takes readings of one meter in: body to rules to store, without holding up other requests."""

from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread

from energy_forecasting.api.received_body import ReceivedBody, unpacked
from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.delivery import Delivery
from energy_forecasting.meters.ingestion.one_meter import read_csv_text, read_json_text
from energy_forecasting.meters.ingestion.report import Rejections, Written
from energy_forecasting.meters.store import MeterStore

CSV = "text/csv"
JSON = "application/json"

_READERS = {JSON: read_json_text, CSV: read_csv_text}
#: What a rejection's place counts.
_PLACES = {JSON: "index", CSV: "line"}
MEDIA_TYPES = tuple(_READERS)

#: Reading is Python's own work: a second body at once would only slow the first, and take memory.
_READ_AT_ONCE = 1
#: Writing mostly waits for the store.
_WRITTEN_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What became of a body."""

    written: Written
    rejected: int
    rejections: list[dict[str, object]]  #: the first of them: line or index, and reason


class ReadingsIntake:
    """Reads and writes bodies in threads of its own.

    However many bodies wait, they wait in the event loop and leave the threads of the other
    routes alone.
    """

    def __init__(self, store: MeterStore) -> None:
        self._store = store
        self._reading = CapacityLimiter(_READ_AT_ONCE)
        self._writing = CapacityLimiter(_WRITTEN_AT_ONCE)

    async def take(self, meter: Meter, body: ReceivedBody) -> Intake:
        """Write what is usable; the same body again changes nothing.

        Raises:
            InvalidRequest: the body is not the JSON or gzip that it is said to be.
            BodyTooLarge: it unpacks to too much.
            DataQualityError: it is not the CSV that it is said to be, or nothing in it is usable.
            EnergyForecastingError: the store could not take the readings.
        """
        rejections = Rejections()
        arrivals = await to_thread.run_sync(_read, body, meter, rejections, limiter=self._reading)
        written = await to_thread.run_sync(
            self._write, meter, arrivals, rejections, body.media_type, limiter=self._writing
        )
        return Intake(
            written=written,
            rejected=len(rejections),
            rejections=_told(rejections, body.media_type),
        )

    def _write(
        self, meter: Meter, arrivals: Arrivals, rejections: Rejections, media_type: str
    ) -> Written:
        delivery = Delivery.of(meter, arrivals, self._store, rejections)
        if not delivery.usable:
            told = _told(rejections, media_type)
            first = "".join(
                f"; {_PLACES[media_type]} {bad.place}: {bad.reason}" for bad in rejections.told[:1]
            )
            raise DataQualityError(
                f"The body has no usable reading{first}.",
                field="body",
                rejected=len(rejections),
                rejections=told,
            )
        return delivery.write(self._store)


def _read(body: ReceivedBody, meter: Meter, rejections: Rejections) -> Arrivals:
    return _READERS[body.media_type](unpacked(body), meter, rejections)


def _told(rejections: Rejections, media_type: str) -> list[dict[str, object]]:
    return [{_PLACES[media_type]: bad.place, "reason": bad.reason} for bad in rejections.told]
