"""CSV import: what is good comes in, what is bad is told line by line."""

import gzip
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest, StorageFailed
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.ingestion import csv_readings, delivery
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.ingestion.report import Rejection
from energy_forecasting.meters.memory import InMemoryMeterStore

HEADER = "meter_type,meter_id,timestamp,consumption,temperature\n"
PROFILE_HEADER = "meter_type,meter_id,unit,timezone,country,reading_kind\n"
METER = Meter(meter_type="gas", meter_id="g1")
DATA = Path(__file__).resolve().parents[4] / "data"


@pytest.fixture
def store() -> InMemoryMeterStore:
    return InMemoryMeterStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.csv"


def line(stamp: str = "2024-01-01T00:00:00Z", consumption: str = "1", temperature: str = "") -> str:
    return f"gas,g1,{stamp},{consumption},{temperature}\n"


class TestReading:
    def test_readings_of_several_meters_may_alternate(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        # Given
        path.write_text(
            HEADER + "gas,g1,2024-01-01T01:00:00Z,2,5.5\n"
            "water,w1,2024-01-01T00:00:00Z,7,\n"
            "gas,g1,2024-01-01T00:00:00Z,1,\n"
        )
        # When
        report = import_csv(path, store)
        # Then
        assert (report.meters, report.readings, report.rejected_lines) == (2, 3, 0)
        history = store.read_history(METER)
        assert history.first == datetime(2024, 1, 1, tzinfo=UTC)
        assert history.consumption.tolist() == [1, 2]
        np.testing.assert_array_equal(history.temperature, [np.nan, 5.5])

    def test_columns_may_come_in_any_order_with_others_between(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        path.write_text(
            "note, consumption ,timestamp,meter_id,meter_type\n"
            '"a, b",1.5, 2024-01-01T02:00:00+02:00 ,g1,gas\n'
        )
        import_csv(path, store)
        history = store.read_history(METER)
        assert history.first == datetime(2024, 1, 1, tzinfo=UTC)
        assert history.consumption.tolist() == [1.5]

    @pytest.mark.parametrize("name", ["readings.csv.gz", "readings.csv"])
    def test_a_gzipped_file_is_known_by_its_content(
        self, tmp_path: Path, store: InMemoryMeterStore, name: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(gzip.compress((HEADER + line()).encode()))
        assert import_csv(path, store).readings == 1

    @pytest.mark.parametrize("before", ["\ufeff", ""])
    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_files_of_spreadsheets_are_read(
        self, path: Path, store: InMemoryMeterStore, before: str, ending: str
    ) -> None:
        text = before + (HEADER + line() + "\n").replace("\n", ending)
        path.write_bytes(text.encode())
        assert import_csv(path, store).rejected_lines == 0

    def test_of_duplicates_the_last_wins(self, path: Path, store: InMemoryMeterStore) -> None:
        path.write_text(HEADER + line(consumption="1") + line(consumption="2"))
        report = import_csv(path, store)
        assert (report.readings, report.duplicates) == (1, 1)
        assert store.read_history(METER).consumption.tolist() == [2]

    def test_a_second_import_replaces_and_adds(self, path: Path, store: InMemoryMeterStore) -> None:
        path.write_text(HEADER + line() + line("2024-01-01T01:00:00Z"))
        import_csv(path, store)
        path.write_text(HEADER + line("2024-01-01T01:00:00Z", "9") + line("2024-01-01T02:00:00Z"))
        import_csv(path, store)
        assert store.read_history(METER).consumption.tolist() == [1, 9, 1]

    def test_progress_covers_reading_and_writing(
        self, path: Path, store: InMemoryMeterStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a file of 24 readings, looked at every 10 lines and written 10 at a time
        monkeypatch.setattr(csv_readings, "_PROGRESS_LINES", 10)
        monkeypatch.setattr(delivery, "BATCH_READINGS", 10)
        stamps = (f"2024-01-01T00:{minute:02d}:00Z" for minute in range(24))
        path.write_text(HEADER + "".join(map(line, stamps)))
        seen: list[float] = []
        # When
        import_csv(path, store, on_progress=seen.append)
        # Then: a small file is in memory at once, so half is done from the first look on
        assert seen[:3] == [0.5] * 3
        np.testing.assert_allclose(seen[3:], [0.5 + 10 / 48, 0.5 + 20 / 48, 1.0, 1.0])


class TestBadLines:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (line("2024-01-01T00:00:00"), "no time zone"),
            (line("2024-01-01"), "no time zone"),
            (line("01/02/2024 10:00"), "not ISO 8601"),
            (line("2024-02-30T00:00:00Z"), "not ISO 8601"),
            (line(""), "not ISO 8601"),
            (line("9999-12-31T23:00:00-12:00"), "outside the years 1700 to 2199"),
            (line("0001-01-01T00:00:00+12:00"), "outside the years 1700 to 2199"),
            (line(consumption=""), "consumption is missing"),
            (line(consumption="1.2.3"), "consumption '1.2.3' is not a number"),
            (line(consumption="nan"), "is not a number"),
            (line(consumption="inf"), "is not a number"),
            (line(temperature="warm"), "temperature 'warm' is not a number"),
            ("gas,../g1,2024-01-01T00:00:00Z,1,\n", "meter_id '../g1' is not valid"),
            ("Gas!,g1,2024-01-01T00:00:00Z,1,\n", "meter_type 'Gas!' is not valid"),
            ("gas,g1,2024-01-01T00:00:00Z\n", "3 cells, the header 5"),
            ("gas,g1,2024-01-01T00:00:00Z,1,2,3\n", "6 cells, the header 5"),
        ],
    )
    def test_a_bad_line_is_left_out_and_told(
        self, path: Path, store: InMemoryMeterStore, bad: str, reason: str
    ) -> None:
        # Given: the bad line twice, as the second one must not slip through
        path.write_text(HEADER + line() + bad + bad)
        # When
        report = import_csv(path, store)
        # Then
        assert [rejected.place for rejected in report.rejected] == [3, 4]
        assert all(reason in rejected.reason for rejected in report.rejected)
        assert [str(summary.meter) for summary in store.list_meters()] == ["gas/g1"]
        assert store.describe(METER).readings == 1

    def test_lines_are_counted_as_an_editor_counts_them(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        path.write_text(
            "meter_type,meter_id,timestamp,consumption,note\n"
            'gas,g1,2024-01-01T00:00:00Z,1,"two\nlines"\n'
            "\n"
            "gas,g1,2024-01-01T01:00:00Z,x,\n"
        )
        report = import_csv(path, store)
        assert report.rejected == (Rejection(place=5, reason="consumption 'x' is not a number"),)

    def test_very_many_bad_lines_are_counted_and_the_first_are_told(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        path.write_text(HEADER + line() + line(consumption="x") * 250)
        report = import_csv(path, store)
        assert report.rejected_lines == 250
        assert len(report.rejected) == 100

    def test_a_bad_cell_cannot_forge_a_log_line(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        path.write_text(
            HEADER + line() + line(consumption='"1\n2024 | ERROR | forged' + "x" * 99 + '"')
        )
        (rejected,) = import_csv(path, store).rejected
        assert "\n" not in rejected.reason
        assert len(rejected.reason) < 100


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "is empty"),
            (b"\n\n", "is empty"),
            (HEADER.encode(), "no usable reading"),
            ((HEADER + line(consumption="x")).encode(), "no usable reading; line 2"),
            (b"meter_type,meter_id,consumption\n", "lacks the column timestamp"),
            (HEADER.replace(",", ";").encode(), "lacks the column meter_type"),
            ((HEADER + "gas,Z\u00e4hler").encode("latin-1"), "UTF-8"),
            ((HEADER + line()).encode("utf-16"), "UTF-8"),
            (b"\x7fELF\x00\x00\x01\x02", "cannot be read|lacks the column"),
            ((HEADER + line() + 'gas,"g1').encode(), "after line 2"),
            ((HEADER + line() + "x" * 200_000).encode(), "after line 2"),
            (gzip.compress((HEADER + line() * 5_000).encode())[:60], "cannot be read"),
            (b"\x1f\x8bnot really", "cannot be read"),
        ],
    )
    def test_a_file_that_is_no_such_csv_imports_nothing(
        self, path: Path, store: InMemoryMeterStore, content: bytes, told: str
    ) -> None:
        path.write_bytes(content)
        with pytest.raises(DataQualityError, match=told) as raised:
            import_csv(path, store)
        assert raised.value.details["path"] == str(path)
        assert store.list_meters() == []

    def test_a_missing_file_is_named(self, tmp_path: Path, store: InMemoryMeterStore) -> None:
        for missing in (tmp_path / "nothing.csv", tmp_path):
            with pytest.raises(InvalidRequest, match="cannot be opened") as raised:
                import_csv(missing, store)
            assert raised.value.details["path"] == str(missing)


class TestProfiles:
    def test_profiles_come_with_the_readings(
        self, path: Path, tmp_path: Path, store: InMemoryMeterStore
    ) -> None:
        # Given
        path.write_text(HEADER + line())
        profiles = tmp_path / "meters.csv"
        profiles.write_text(
            PROFILE_HEADER.strip() + ",description,resolution_minutes\n"
            'gas,g1,m3,Europe/Rome,IT,cumulative,"the cellar, left",15\n'
            "water,w1,,,,,,\n"
        )
        # When
        import_csv(path, store, profiles=profiles)
        # Then
        known = {str(summary.meter): summary.profile for summary in store.list_meters()}
        assert known == {
            "gas/g1": MeterProfile(
                unit="m3",
                timezone="Europe/Rome",
                country="IT",
                reading_kind=ReadingKind.CUMULATIVE,
                resolution=timedelta(minutes=15),
            ),
            "water/w1": MeterProfile(),
        }

    @pytest.mark.parametrize("cell", ["7", "-15", "1e300", "PT15M", "15.5"])
    def test_a_resolution_that_cannot_be_used_imports_nothing(
        self, path: Path, tmp_path: Path, store: InMemoryMeterStore, cell: str
    ) -> None:
        path.write_text(HEADER + line())
        profiles = tmp_path / "meters.csv"
        profiles.write_text(
            PROFILE_HEADER.strip() + f",resolution_minutes\ngas,g1,m3,UTC,IT,interval,{cell}\n"
        )
        with pytest.raises(DataQualityError, match=r"line 2.*resolution_minutes"):
            import_csv(path, store, profiles=profiles)
        assert store.list_meters() == []

    def test_without_profiles_a_known_one_stays(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        profile = MeterProfile(unit="m3")
        store.write_profile(METER, profile)
        path.write_text(HEADER + line())
        import_csv(path, store)
        assert store.describe(METER).profile == profile

    @pytest.mark.parametrize(
        ("bad", "told"),
        [
            ("gas,g1,m3,Europe/Rom,IT,interval\n", "line 2.*Europe/Rom"),
            ("gas,g1,m3,UTC,IT,hourly\n", "line 2.*'hourly' is none of interval"),
            ("gas,g 1,m3,UTC,IT,interval\n", "line 2.*meter_id"),
            ("gas,g1,m3\n", "line 2.*3 cells"),
        ],
    )
    def test_a_bad_profile_imports_nothing(
        self, path: Path, tmp_path: Path, store: InMemoryMeterStore, bad: str, told: str
    ) -> None:
        path.write_text(HEADER + line())
        profiles = tmp_path / "meters.csv"
        profiles.write_text(PROFILE_HEADER + bad)
        with pytest.raises(DataQualityError, match=told):
            import_csv(path, store, profiles=profiles)
        assert store.list_meters() == []


def test_the_sample_that_ships_is_whole(store: InMemoryMeterStore) -> None:
    # When
    report = import_csv(DATA / "sample.csv.gz", store, profiles=DATA / "sample_meters.csv")
    # Then
    assert (report.meters, report.readings, report.rejected_lines) == (4, 34_968, 0)
    units = {summary.meter.meter_id: summary.profile.unit for summary in store.list_meters()}
    assert units == {
        "ucam_b37_elec": "kWh",
        "ucam_b31_gas": "kWh",
        "bwdf_dma_05": "m3/h",
        "bwdf_dma_09": "m3/h",
    }
    assert all(summary.has_temperature for summary in store.list_meters())


class TestTemperatureForecasts:
    DAY = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))

    def test_temperatures_after_the_last_reading_are_a_forecast(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        # Given a reading, then two hours that nobody has measured yet, the later one first
        path.write_text(
            HEADER
            + line("2024-01-01T02:00:00Z", "", "4.5")
            + line(temperature="6")
            + line("2024-01-01T01:00:00Z", "", "5")
        )
        # When
        report = import_csv(path, store)
        # Then
        assert (report.readings, report.forecast_temperatures, report.rejected_lines) == (1, 2, 0)
        start, end = self.DAY
        forecast = store.read_temperature_forecast(METER, start=start, end=end)
        assert forecast.degrees.tolist() == [5.0, 4.5]
        assert store.describe(METER).last_reading == start
        assert len(store.read_history(METER)) == 1

    def test_a_forecast_may_come_alone_and_again(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        # Given
        path.write_text(HEADER + line())
        import_csv(path, store)
        # When
        for degrees in ("5", "7"):
            path.write_text(HEADER + line("2024-01-01T01:00:00Z", "", degrees))
            assert import_csv(path, store).meters == 1
        # Then
        start, end = self.DAY
        assert store.read_temperature_forecast(METER, start=start, end=end).degrees == [7.0]

    def test_a_temperature_before_the_last_reading_is_no_forecast(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        # Given an hour whose consumption is missing, between two that were measured
        path.write_text(
            HEADER
            + line()
            + line("2024-01-01T01:00:00Z", "", "5")
            + line("2024-01-01T02:00:00Z")
            + line("2024-01-01T03:00:00Z", "x")
        )
        # When
        report = import_csv(path, store)
        # Then
        assert [bad.place for bad in report.rejected] == [3, 5]
        assert report.forecast_temperatures == 0
        start, end = self.DAY
        assert not len(store.read_temperature_forecast(METER, start=start, end=end))

    def test_a_forecast_for_a_meter_without_readings_is_refused(
        self, path: Path, store: InMemoryMeterStore
    ) -> None:
        path.write_text(HEADER + line(consumption="", temperature="5"))
        with pytest.raises(DataQualityError, match="no usable reading; line 2"):
            import_csv(path, store)
        assert store.list_meters() == []


class FullStore(InMemoryMeterStore):
    """Takes two meters, then no more."""

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        if len(self.list_meters()) == 2:
            raise StorageFailed("The disk is full.", path="meters")
        return super().write_readings(meter, batches)


class ReadOnlyProfiles(InMemoryMeterStore):
    """Has its profiles elsewhere, as a store on InfluxDB does."""

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        raise InvalidRequest(f"The profile of {meter} ({profile.unit}) stands in a file.")


class NoForecasts(InMemoryMeterStore):
    """Has no place for forecasts of temperature."""

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        raise InvalidRequest(f"No place for {len(forecast)} temperatures of {meter}.")


class TestStoresThatFail:
    def test_a_failure_midway_tells_how_far_the_import_came(self, path: Path) -> None:
        # Given
        path.write_text(
            HEADER
            + line()
            + line("2024-01-01T01:00:00Z")
            + "".join(f"gas,h{number},2024-01-01T00:00:00Z,1,\n" for number in range(3))
        )
        # When
        with pytest.raises(StorageFailed) as raised:
            import_csv(path, FullStore())
        # Then
        assert raised.value.message == (
            "The disk is full. 2 of 4 meters (3 readings) had been written before; importing the "
            "file again harms nothing."
        )
        assert raised.value.details == {
            "path": "meters",
            "meters_written": 2,
            "readings_written": 3,
        }

    def test_profiles_that_a_store_refuses_import_nothing(self, path: Path, tmp_path: Path) -> None:
        path.write_text(HEADER + line())
        profiles = tmp_path / "meters.csv"
        profiles.write_text(PROFILE_HEADER + "gas,g1,m3,UTC,IT,interval\n")
        store = ReadOnlyProfiles()
        with pytest.raises(InvalidRequest, match=r"gas/g1 \(m3\) stands in a file"):
            import_csv(path, store, profiles=profiles)
        assert store.list_meters() == []

    def test_a_refused_forecast_tells_that_the_readings_are_in(self, path: Path) -> None:
        path.write_text(HEADER + line() + line("2024-01-01T01:00:00Z", "", "5"))
        store = NoForecasts()
        with pytest.raises(InvalidRequest, match="The 1 readings of gas/g1 are written"):
            import_csv(path, store)
        assert store.describe(METER).readings == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_can_be_imported(tmp_path: Path, store: InMemoryMeterStore) -> None:
    # Given
    pipe = tmp_path / "readings"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(HEADER + line(),))
    writer.start()
    # When
    report = import_csv(pipe, store)
    writer.join()
    # Then
    assert report.readings == 1


def test_forecast_temperatures_of_one_moment_count_once(
    path: Path, store: InMemoryMeterStore
) -> None:
    later = "2024-01-01T01:00:00Z"
    path.write_text(HEADER + line() + line(later, "", "5") + line(later, "", "6"))
    report = import_csv(path, store)
    assert (report.readings, report.duplicates, report.forecast_temperatures) == (1, 1, 1)
