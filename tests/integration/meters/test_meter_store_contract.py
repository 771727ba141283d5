"""What every meter store promises, asked of each of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from energy_forecasting.domain.errors import InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.store import MeterStore
from tests.integration.meters.conftest import FilledStore

METER = Meter(meter_type="electricity", meter_id="office.north-1")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def hourly(start: datetime, *consumption: float, temperature: float = 10.0) -> History:
    first = np.datetime64(start.replace(tzinfo=None), "s")
    return History(
        timestamps=first + np.arange(len(consumption)) * np.timedelta64(3600, "s"),
        consumption=np.array(consumption),
        temperature=np.full(len(consumption), temperature),
    )


def forecast(start: datetime, *degrees: float) -> TemperatureForecast:
    first = np.datetime64(start.replace(tzinfo=None), "s")
    return TemperatureForecast(
        timestamps=first + np.arange(len(degrees)) * np.timedelta64(3600, "s"),
        degrees=np.array(degrees, dtype=np.float64),
    )


def hours(history: History) -> list[int]:
    first = np.datetime64(MIDNIGHT.replace(tzinfo=None), "s")
    return [int(step) for step in (history.timestamps - first) // np.timedelta64(1, "h")]


class TestReading:
    def test_readings_come_back_as_they_were_stored(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1.5, 0.0, -2.25, temperature=-3.5))
        # When
        history = filled.store.read_history(METER)
        # Then
        assert history.timestamps.dtype == np.dtype("datetime64[s]")
        assert hours(history) == [0, 1, 2]
        assert history.consumption.tolist() == [1.5, 0.0, -2.25]
        assert history.temperature.tolist() == [-3.5, -3.5, -3.5]

    def test_readings_stored_out_of_order_come_back_in_order(self, filled: FilledStore) -> None:
        # Given
        later, earlier = hourly(MIDNIGHT + timedelta(hours=2), 3, 4), hourly(MIDNIGHT, 1, 2)
        filled.holds(METER, later, earlier)
        # When
        history = filled.store.read_history(METER)
        # Then
        assert hours(history) == [0, 1, 2, 3]
        assert history.consumption.tolist() == [1, 2, 3, 4]

    def test_a_gap_stays_a_gap(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1), hourly(MIDNIGHT + timedelta(days=9), 2))
        # When
        history = filled.store.read_history(METER)
        # Then
        assert hours(history) == [0, 216]

    def test_the_span_includes_its_start_and_excludes_its_end(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 0, 1, 2, 3, 4))
        # When
        history = filled.store.read_history(
            METER, start=MIDNIGHT + timedelta(hours=1), end=MIDNIGHT + timedelta(hours=3)
        )
        # Then
        assert hours(history) == [1, 2]

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [(None, 2, [0, 1]), (3, None, [3, 4]), (None, None, [0, 1, 2, 3, 4])],
    )
    def test_a_side_without_a_bound_is_open(
        self, filled: FilledStore, start: int | None, end: int | None, expected: list[int]
    ) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 0, 1, 2, 3, 4))
        # When
        history = filled.store.read_history(
            METER,
            start=None if start is None else MIDNIGHT + timedelta(hours=start),
            end=None if end is None else MIDNIGHT + timedelta(hours=end),
        )
        # Then
        assert hours(history) == expected

    def test_bounds_may_be_in_any_time_zone(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 0, 1, 2, 3))
        india = timezone(timedelta(hours=5, minutes=30))
        # When
        history = filled.store.read_history(
            METER,
            start=datetime(2024, 3, 1, 6, 30, tzinfo=india),
            end=datetime(2024, 3, 1, 8, 30, tzinfo=india),
        )
        # Then
        assert hours(history) == [1, 2]

    def test_a_bound_within_a_second_is_kept_to(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 0, 1, 2))
        a_little = timedelta(microseconds=1)
        # When
        history = filled.store.read_history(
            METER, start=MIDNIGHT + a_little, end=MIDNIGHT + timedelta(hours=2) + a_little
        )
        # Then
        assert hours(history) == [1, 2]

    @pytest.mark.parametrize("days", [-400, 0, 1, 400])
    def test_hours_may_be_allowed_up_to_any_moment(self, filled: FilledStore, days: int) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 0, 1, 2, 3))
        border = MIDNIGHT + timedelta(days=days)
        for bounds in ({}, {"start": MIDNIGHT}, {"end": MIDNIGHT + timedelta(hours=9)}):
            # When
            history = filled.store.read_history(METER, **bounds, whole_hours_before=border)
            # Then
            assert history.consumption.tolist() == [0, 1, 2, 3]

    def test_an_unknown_temperature_is_nan(self, filled: FilledStore) -> None:
        # Given
        filled.holds(
            METER,
            hourly(MIDNIGHT, 1, temperature=np.nan),
            hourly(MIDNIGHT + timedelta(hours=1), 2, temperature=7.0),
        )
        # When
        history = filled.store.read_history(METER)
        # Then
        assert history.consumption.tolist() == [1, 2]
        np.testing.assert_array_equal(history.temperature, [np.nan, 7.0])

    def test_two_years_of_readings_come_back_whole(self, filled: FilledStore) -> None:
        # Given
        consumption = np.random.default_rng(0).gamma(2.0, 3.0, size=17_520)
        filled.holds(METER, hourly(MIDNIGHT, *consumption.tolist()))
        # When
        history = filled.store.read_history(METER)
        # Then
        np.testing.assert_array_equal(history.consumption, consumption)

    def test_meters_are_never_mixed_up(self, filled: FilledStore) -> None:
        # Given: the same id in another case, as a prefix and under another type
        others = [
            Meter(meter_type="electricity", meter_id="OFFICE.north-1"),
            Meter(meter_type="electricity", meter_id="office.north-10"),
            Meter(meter_type="electricity", meter_id="officexnorth-1"),
            Meter(meter_type="water", meter_id="office.north-1"),
        ]
        for number, other in enumerate(others):
            filled.holds(other, hourly(MIDNIGHT, 100 + number))
        filled.holds(METER, hourly(MIDNIGHT, 1))
        # When
        read = [filled.store.read_history(meter).consumption.tolist() for meter in (METER, *others)]
        # Then
        assert read == [[1], [100], [101], [102], [103]]

    def test_a_naive_bound_is_refused(self, filled: FilledStore) -> None:
        filled.holds(METER, hourly(MIDNIGHT, 1))
        naive = datetime(2024, 3, 1)  # noqa: DTZ001 - the point of the test
        for bounds in ({"start": naive}, {"end": naive}):
            with pytest.raises(InvalidRequest, match="time zone"):
                filled.store.read_history(METER, **bounds)

    def test_threads_may_read_at_once(self, filled: FilledStore) -> None:
        # Given
        meters = [Meter(meter_type="gas", meter_id=f"g{number}") for number in range(8)]
        for number, meter in enumerate(meters):
            filled.holds(meter, hourly(MIDNIGHT, *range(number, number + 50)))
        # When
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(filled.store.read_history, meters * 5))
        # Then
        assert [history.consumption[0] for history in read] == list(range(8)) * 5


class TestTemperatureForecasts:
    def test_a_forecast_is_read_by_span(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1, 2))
        filled.foresees(METER, forecast(MIDNIGHT + timedelta(hours=2), 3.5, -4, 5))
        # When
        read = filled.store.read_temperature_forecast(
            METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(hours=4)
        )
        # Then
        assert read.timestamps.dtype == np.dtype("datetime64[s]")
        first = np.datetime64(MIDNIGHT.replace(tzinfo=None), "s")
        assert ((read.timestamps - first) // np.timedelta64(1, "h")).tolist() == [2, 3]
        assert read.degrees.tolist() == [3.5, -4]

    def test_a_measured_temperature_is_never_a_forecast(self, filled: FilledStore) -> None:
        filled.holds(METER, hourly(MIDNIGHT, 1, 2, 3))
        read = filled.store.read_temperature_forecast(
            METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1)
        )
        assert len(read) == 0

    def test_a_forecast_is_no_reading(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1, 2))
        filled.foresees(METER, forecast(MIDNIGHT + timedelta(hours=1), 3, 4, 5))
        # When
        summary = filled.store.describe(METER)
        # Then
        assert summary.last_reading == MIDNIGHT + timedelta(hours=1)
        assert summary.readings == 2
        assert hours(filled.store.read_history(METER)) == [0, 1]

    def test_every_meter_has_its_own_forecast(self, filled: FilledStore) -> None:
        # Given
        other = Meter(meter_type="electricity", meter_id="office.north-2")
        for meter, degrees in ((METER, 1.0), (other, 2.0)):
            filled.holds(meter, hourly(MIDNIGHT, 1))
            filled.foresees(meter, forecast(MIDNIGHT, degrees))
        # When, Then
        span = {"start": MIDNIGHT, "end": MIDNIGHT + timedelta(days=1)}
        unknown = Meter(meter_type="electricity", meter_id="nobody")
        for meter, expected in ((METER, [1.0]), (other, [2.0]), (unknown, [])):
            read = filled.store.read_temperature_forecast(meter, **span)
            assert read.degrees.tolist() == expected

    def test_a_span_that_ends_before_it_starts_has_no_forecast(self, filled: FilledStore) -> None:
        filled.holds(METER, hourly(MIDNIGHT, 1))
        filled.foresees(METER, forecast(MIDNIGHT, 1, 2))
        read = filled.store.read_temperature_forecast(METER, start=MIDNIGHT, end=MIDNIGHT)
        assert len(read) == 0


class TestFindingNothing:
    def test_an_unknown_meter_has_no_data(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1))
        unknown = Meter(meter_type="electricity", meter_id="nobody")
        # When, Then
        with pytest.raises(NoDataFound, match="electricity/nobody") as raised:
            filled.store.read_history(unknown)
        assert raised.value.details["meter_id"] == "nobody"
        with pytest.raises(NoDataFound, match="electricity/nobody"):
            filled.store.describe(unknown)

    def test_a_span_without_readings_names_the_span(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1, 2))
        # When
        with pytest.raises(NoDataFound) as raised:
            filled.store.read_history(
                METER, start=MIDNIGHT + timedelta(days=5), end=MIDNIGHT + timedelta(days=6)
            )
        # Then
        assert raised.value.details["start"] == "2024-03-06T00:00:00+00:00"
        assert raised.value.details["end"] == "2024-03-07T00:00:00+00:00"

    def test_a_span_that_ends_before_it_starts_holds_nothing(self, filled: FilledStore) -> None:
        filled.holds(METER, hourly(MIDNIGHT, 1, 2))
        for end in (MIDNIGHT, MIDNIGHT - timedelta(hours=1)):
            with pytest.raises(NoDataFound):
                filled.store.read_history(METER, start=MIDNIGHT, end=end)

    def test_the_ends_of_time_are_no_error(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1))
        earliest = datetime(1, 1, 2, tzinfo=UTC)
        latest = datetime(9999, 12, 30, tzinfo=UTC)
        # When, Then
        assert len(filled.store.read_history(METER, start=earliest, end=latest)) == 1
        with pytest.raises(NoDataFound):
            filled.store.read_history(METER, start=latest)


class TestListing:
    def test_an_empty_store_lists_no_meters(self, filled: FilledStore) -> None:
        assert filled.store.list_meters() == []

    def test_meters_are_ordered_by_type_and_id(self, filled: FilledStore) -> None:
        # Given
        for name in ("water/b", "electricity/z", "water/B", "electricity/a.2", "electricity/a-1"):
            meter_type, meter_id = name.split("/")
            meter = Meter(meter_type=meter_type, meter_id=meter_id)
            filled.holds(meter, hourly(MIDNIGHT, 1), hourly(MIDNIGHT + timedelta(hours=4), 1))
        # When
        summaries = filled.store.list_meters()
        # Then
        names = [str(summary.meter) for summary in summaries]
        assert names == [
            "electricity/a-1",
            "electricity/a.2",
            "electricity/z",
            "water/B",
            "water/b",
        ]
        assert {summary.last_reading for summary in summaries} == {MIDNIGHT + timedelta(hours=4)}

    def test_a_type_narrows_the_list(self, filled: FilledStore) -> None:
        # Given
        water = Meter(meter_type="water", meter_id="w")
        filled.holds(METER, hourly(MIDNIGHT, 1))
        filled.holds(water, hourly(MIDNIGHT, 1))
        # When, Then
        assert [summary.meter for summary in filled.store.list_meters("water")] == [water]
        assert filled.store.list_meters("gas") == []
        assert filled.store.list_meters("") == []
        assert filled.store.list_meters('water" or true') == []

    def test_a_description_tells_span_and_count(self, filled: FilledStore) -> None:
        # Given
        filled.holds(METER, hourly(MIDNIGHT, 1, 2, 3), hourly(MIDNIGHT + timedelta(days=1), 4))
        # When
        summary = filled.store.describe(METER)
        # Then
        assert summary.meter == METER
        assert summary.readings == 4
        assert summary.first_reading == MIDNIGHT
        assert summary.last_reading == MIDNIGHT + timedelta(days=1)
        assert summary.has_temperature is True

    @pytest.mark.parametrize(("without", "expected"), [(2, True), (3, False)])
    def test_temperature_counts_from_half_of_the_readings_on(
        self, filled: FilledStore, without: int, expected: bool
    ) -> None:
        # Given
        later = MIDNIGHT + timedelta(days=1)
        filled.holds(
            METER,
            hourly(MIDNIGHT, 1, 2),
            hourly(later, *range(without), temperature=np.nan),
        )
        # When, Then
        assert filled.store.describe(METER).has_temperature is expected

    def test_a_check_tells_kind_and_version(self, filled: FilledStore) -> None:
        status = filled.store.check()
        assert status.kind == filled.kind
        assert status.version


class TestNames:
    @pytest.mark.parametrize(
        "hostile",
        [
            "",
            ".",
            "../../etc/passwd",
            "a" * 129,
            "a b",
            "a\n",
            "a\x00",
            'm") |> drop(columns: ["_value"]) //',
            "${r._value}",
            "m' OR '1'='1",
            "m; DROP TABLE readings",
            "mètre",
            "m\\",
        ],
    )
    def test_a_hostile_id_never_reaches_a_store(self, hostile: str) -> None:
        with pytest.raises(InvalidRequest):
            Meter(meter_type="electricity", meter_id=hostile)


class TestWriting:
    def test_a_reading_of_the_same_moment_is_replaced(self, writable: MeterStore) -> None:
        # Given
        writable.write_readings(METER, iter([hourly(MIDNIGHT, 1, 2, 3)]))
        # When
        again = hourly(MIDNIGHT + timedelta(hours=1), 20, 30, 40, temperature=-5.0)
        written = writable.write_readings(METER, iter([again]))
        # Then
        history = writable.read_history(METER)
        assert written == 3
        assert history.consumption.tolist() == [1, 20, 30, 40]
        assert history.temperature.tolist() == [10, -5, -5, -5]
        assert writable.describe(METER).readings == 4

    def test_an_unusable_reading_is_never_a_value(self, writable: MeterStore) -> None:
        writable.write_readings(METER, iter([hourly(MIDNIGHT, 1, np.nan, 3)]))
        consumption = writable.read_history(METER).consumption
        assert consumption[np.isfinite(consumption)].tolist() == [1, 3]

    def test_unusable_readings_do_not_move_the_ends(self, writable: MeterStore) -> None:
        # Given
        writable.write_readings(METER, iter([hourly(MIDNIGHT, np.nan, 1, 2, np.nan)]))
        # When
        summary = writable.describe(METER)
        # Then
        assert summary.first_reading == MIDNIGHT + timedelta(hours=1)
        assert summary.last_reading == MIDNIGHT + timedelta(hours=2)

    def test_a_later_forecast_replaces_an_earlier_one(self, writable: MeterStore) -> None:
        # Given
        writable.write_readings(METER, iter([hourly(MIDNIGHT, 1)]))
        writable.write_temperature_forecast(METER, forecast(MIDNIGHT, 1, 2, 3))
        # When
        writable.write_temperature_forecast(METER, forecast(MIDNIGHT + timedelta(hours=1), 20))
        # Then
        read = writable.read_temperature_forecast(
            METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1)
        )
        assert read.degrees.tolist() == [1, 20, 3]

    def test_a_forecast_follows_readings(self, writable: MeterStore) -> None:
        with pytest.raises(NoDataFound):
            writable.write_temperature_forecast(METER, forecast(MIDNIGHT, 1))

    def test_a_meter_without_readings_has_no_data(self, writable: MeterStore) -> None:
        writable.write_profile(METER, MeterProfile())
        with pytest.raises(NoDataFound):
            writable.describe(METER)
        with pytest.raises(NoDataFound):
            writable.read_history(METER)

    def test_an_empty_batch_writes_nothing(self, writable: MeterStore) -> None:
        empty = hourly(MIDNIGHT)
        assert writable.write_readings(METER, iter([empty, hourly(MIDNIGHT, 1), empty])) == 1

    def test_threads_may_write_at_once(self, writable: MeterStore) -> None:
        # Given
        days = [hourly(MIDNIGHT + timedelta(days=day), *[day] * 24) for day in range(20)]
        # When
        with ThreadPoolExecutor(8) as pool:
            written = list(pool.map(lambda day: writable.write_readings(METER, iter([day])), days))
        # Then
        assert sum(written) == 480
        assert writable.describe(METER).readings == 480
        assert len(writable.read_history(METER)) == 480


class TestKeepingEverything:
    """What stores of ours add: see ``TestWhatItCannotHold`` for InfluxDB."""

    def test_an_unusable_reading_stays_known_as_such(self, embedded: MeterStore) -> None:
        embedded.write_readings(METER, iter([hourly(MIDNIGHT, 1, np.nan, 3)]))
        np.testing.assert_array_equal(embedded.read_history(METER).consumption, [1, np.nan, 3])

    def test_a_replaced_reading_loses_the_temperature_that_it_had(
        self, embedded: MeterStore
    ) -> None:
        # Given
        embedded.write_readings(METER, iter([hourly(MIDNIGHT, 1, 2, 3)]))
        # When
        again = hourly(MIDNIGHT + timedelta(hours=1), 20, 30, temperature=np.nan)
        embedded.write_readings(METER, iter([again]))
        # Then
        history = embedded.read_history(METER)
        np.testing.assert_array_equal(history.temperature, [10, np.nan, np.nan])
        assert embedded.describe(METER).has_temperature is False

    def test_a_write_that_fails_midway_leaves_nothing(self, embedded: MeterStore) -> None:
        # Given
        def breaking_off() -> Iterator[History]:
            yield hourly(MIDNIGHT, 1, 2)
            raise OSError("the source broke")

        # When
        with pytest.raises(OSError, match="the source broke"):
            embedded.write_readings(METER, breaking_off())
        # Then
        assert embedded.list_meters() == []
        with pytest.raises(NoDataFound):
            embedded.read_history(METER)

    def test_a_profile_creates_the_meter_and_can_be_replaced(self, embedded: MeterStore) -> None:
        # Given
        first = MeterProfile(unit="kWh", timezone="Europe/Rome", country="IT")
        second = MeterProfile(
            unit="m3", reading_kind=ReadingKind.CUMULATIVE, resolution=timedelta(minutes=15)
        )
        # When
        embedded.write_profile(METER, first)
        created = embedded.list_meters()
        embedded.write_readings(METER, iter([hourly(MIDNIGHT, 1)]))
        embedded.write_profile(METER, second)
        # Then
        assert [(summary.profile, summary.readings) for summary in created] == [(first, 0)]
        assert created[0].last_reading is None
        assert embedded.describe(METER).profile == second
        assert embedded.describe(METER).readings == 1

    def test_readings_keep_the_profile(self, embedded: MeterStore) -> None:
        profile = MeterProfile(unit="kWh", timezone="Europe/Rome")
        embedded.write_profile(METER, profile)
        embedded.write_readings(METER, iter([hourly(MIDNIGHT, 1)]))
        assert embedded.describe(METER).profile == profile
