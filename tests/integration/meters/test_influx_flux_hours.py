"""Hours that InfluxDB adds up tell what the readings tell, or the readings are read."""

from datetime import timedelta

import numpy as np
import pytest

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx import history_reader
from tests.integration.meters.conftest import InfluxStore, influx_config
from tests.integration.meters.flux_store import METER, MIDNIGHT, assert_same, readings, store_of
from tests.integration.meters.influx_double import InfluxDouble

pytestmark = pytest.mark.usefixtures("short_waits")

DAYS = 20
BORDER = MIDNIGHT + timedelta(days=15)


def minutes(days: int = DAYS, *, step_s: int = 300, start: str = "2024-03-01T00:00:00") -> History:
    return readings(days * 86_400 // step_s, step_s, start)


def part(history: History, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> History:
    return History(
        timestamps=history.timestamps[kept],
        consumption=history.consumption[kept],
        temperature=history.temperature[kept],
    )


def without_hours(history: History, *hours: int) -> History:
    """Leave out whole hours, counted from the first of the readings."""
    hour = history.timestamps.astype("datetime64[h]")
    return part(history, ~np.isin((hour - hour[0]).astype(np.int64), hours))


def assert_hourly_alike(read: History, whole: History, kind: ReadingKind) -> None:
    one, other = to_hourly(read, kind), to_hourly(whole, kind)
    np.testing.assert_array_equal(one.timestamps, other.timestamps)
    np.testing.assert_allclose(one.consumption, other.consumption, rtol=1e-9)
    np.testing.assert_allclose(one.temperature, other.temperature, rtol=1e-9)


def added_up(double: InfluxDouble) -> list[str]:
    return [flux for flux in double.queries if "every: 1h" in flux]


@pytest.mark.parametrize("kind", [ReadingKind.INTERVAL, ReadingKind.POWER])
@pytest.mark.parametrize("step_s", [60, 300])
class TestHours:
    def test_they_tell_what_the_readings_tell(
        self, double: InfluxDouble, kind: ReadingKind, step_s: int
    ) -> None:
        # Given
        whole = minutes(step_s=step_s)
        double.add_history(METER, whole)
        # When
        with store_of(influx_config(double, reading_kind=kind)) as store:
            read = store.read_history(METER, whole_hours_before=BORDER)
        # Then: fifteen days of hours, five of readings
        assert len(read) == 15 * 24 + 5 * 86_400 // step_s
        assert_hourly_alike(read, whole, kind)

    def test_hours_without_readings_stay_gaps(
        self, double: InfluxDouble, kind: ReadingKind, step_s: int
    ) -> None:
        # Given: the first of a window, two in a row and the one at the border
        whole = without_hours(minutes(step_s=step_s), 0, 100, 101, 15 * 24 - 1, 15 * 24)
        double.add_history(METER, whole)
        # When
        with store_of(influx_config(double, reading_kind=kind)) as store:
            read = store.read_history(METER, whole_hours_before=BORDER)
        # Then
        assert len(read) == 15 * 24 - 4 + 5 * 86_400 // step_s - 3600 // step_s
        assert_hourly_alike(read, whole, kind)

    def test_a_history_may_begin_within_an_hour(
        self, double: InfluxDouble, kind: ReadingKind, step_s: int
    ) -> None:
        # Given: readings from twenty past on, which Flux puts into an hour that begins there
        whole = minutes(step_s=step_s, start="2024-03-01T00:20:00")
        double.add_history(METER, whole)
        # When
        with store_of(influx_config(double, reading_kind=kind)) as store:
            read = store.read_history(METER, whole_hours_before=BORDER)
        # Then
        assert read.first == MIDNIGHT
        assert_hourly_alike(read, whole, kind)

    def test_a_start_within_an_hour_is_kept_to(
        self, double: InfluxDouble, kind: ReadingKind, step_s: int
    ) -> None:
        # Given
        whole, start = minutes(step_s=step_s), MIDNIGHT + timedelta(days=2, minutes=25)
        double.add_history(METER, whole)
        # When
        with store_of(influx_config(double, reading_kind=kind)) as store:
            read = store.read_history(METER, start=start, whole_hours_before=BORDER)
        # Then
        kept = whole.timestamps >= np.datetime64(start.replace(tzinfo=None), "s")
        assert_hourly_alike(read, part(whole, kept), kind)


class TestParts:
    def test_hours_are_asked_for_in_parts(
        self, influx: InfluxStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given: parts of five days
        monkeypatch.setattr(history_reader, "_HOURS_AT_ONCE", 5 * 24)
        influx.holds(METER, minutes())
        # When
        read = influx.store.read_history(METER, whole_hours_before=BORDER)
        # Then
        assert_hourly_alike(read, minutes(), ReadingKind.INTERVAL)
        sums = [flux for flux in added_up(influx.double) if "fn: sum" in flux]
        assert len(sums) == 4

    def test_a_fault_in_a_later_part_is_never_a_short_history(
        self, influx: InfluxStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given
        monkeypatch.setattr(history_reader, "_HOURS_AT_ONCE", 5 * 24)
        influx.holds(METER, minutes())
        influx.double.afflicts = lambda flux: "fn: sum" in flux and "stop: 2024-03-13T" in flux
        influx.double.rows_lost = 2
        # When, Then
        with pytest.raises(DataQualityError, match="ends at") as raised:
            influx.store.read_history(METER, whole_hours_before=BORDER)
        assert raised.value.details["field"] == "consumption"


class TestReadingsInstead:
    def test_two_series_that_overlap_are_read_as_they_are(self, influx: InfluxStore) -> None:
        # Given: two loggers of one meter; the server would add up both
        influx.holds(METER, minutes(), minutes())
        # When
        read = influx.store.read_history(METER, whole_hours_before=BORDER)
        # Then: of each moment one reading
        assert_same(read, minutes())
        assert added_up(influx.double) != []

    def test_a_register_is_read_as_it_is(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, minutes())
        # When
        with store_of(influx_config(double, reading_kind="cumulative")) as store:
            read = store.read_history(METER, whole_hours_before=BORDER)
        # Then
        assert_same(read, minutes())
        assert added_up(double) == []

    def test_readings_of_an_hour_are_read_as_they_are(self, influx: InfluxStore) -> None:
        influx.holds(METER, readings(DAYS * 24))
        read = influx.store.read_history(METER, whole_hours_before=BORDER)
        assert_same(read, readings(DAYS * 24))
        assert added_up(influx.double) == []

    def test_readings_that_used_to_be_rarer_are_read_as_they_were(
        self, influx: InfluxStore
    ) -> None:
        # Given: quarter-hours for fourteen days, then readings of every five minutes
        rare = minutes(14, step_s=900)
        often = minutes(6, start="2024-03-15T00:00:00")
        influx.holds(METER, rare, often)
        # When
        read = influx.store.read_history(METER, whole_hours_before=BORDER)
        # Then
        assert len(read) == len(rare) + len(often)


def test_without_a_field_for_temperature_hours_have_none(double: InfluxDouble) -> None:
    # Given
    double.add_history(METER, minutes())
    fields = {"consumption": "consumption", "temperature": None}
    # When
    with store_of(influx_config(double, fields=fields)) as store:
        read = store.read_history(METER, whole_hours_before=BORDER)
    # Then
    assert len(read) == 15 * 24 + 5 * 288
    assert np.isnan(read.temperature).all()
    assert not any("temperature" in flux for flux in double.queries)


def test_an_hour_whose_temperature_is_unknown_has_none(influx: InfluxStore) -> None:
    # Given: the thermometer fails for a day
    whole = minutes()
    whole.temperature[288 : 2 * 288] = np.nan
    influx.holds(METER, whole)
    # When
    read = influx.store.read_history(METER, whole_hours_before=BORDER)
    # Then
    assert np.isnan(read.temperature[24:48]).all()
    assert_hourly_alike(read, whole, ReadingKind.INTERVAL)
