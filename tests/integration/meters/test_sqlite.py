"""What only the embedded store must bear: processes, locks, damage and full disks."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from energy_forecasting.domain.errors import DeadlineExceeded, StorageFailed
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters import sqlite
from energy_forecasting.meters.sqlite import SqliteMeterStore

METER = Meter(meter_type="electricity", meter_id="office-1")
PROJECT = Path(__file__).resolve().parents[3]


def readings(count: int, *, first_hour: int = 0) -> History:
    hours = np.arange(first_hour, first_hour + count)
    return History(
        timestamps=np.datetime64("2024-01-01T00:00:00", "s") + hours * np.timedelta64(3600, "s"),
        consumption=hours.astype(np.float64),
        temperature=np.full(count, 10.0),
    )


def started(program: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", dedent(program), *map(str, arguments)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from energy_forecasting.domain.meters import Meter
    from energy_forecasting.domain.readings import History
    from energy_forecasting.meters.sqlite import SqliteMeterStore

    store, number = SqliteMeterStore(Path(sys.argv[1])), int(sys.argv[2])
    meter = Meter(meter_type="electricity", meter_id="office-1")
    print("ready", flush=True)
    sys.stdin.readline() if len(sys.argv) > 3 else None
    for step in range(10):
        hours = (number * 10 + step) * 24 + np.arange(24)
        day = History(
            timestamps=np.datetime64("2024-01-01T00:00:00", "s")
            + hours * np.timedelta64(3600, "s"),
            consumption=hours.astype(float),
            temperature=np.full(24, 10.0),
        )
        store.write_readings(meter, iter([day]))
        assert len(store.read_history(meter)) >= 24
"""


class TestSharing:
    def test_processes_may_create_write_and_read_one_file_at_once(self, tmp_path: Path) -> None:
        # Given
        path = tmp_path / "new" / "folder" / "meters.sqlite"
        # When
        writers = [started(WRITER, path, number) for number in range(4)]
        errors = [writer.communicate(timeout=60)[1] for writer in writers]
        # Then
        assert errors == [""] * 4
        store = SqliteMeterStore(path)
        assert store.describe(METER).readings == 960
        assert store.read_history(METER).consumption.tolist() == list(range(960))

    def test_a_reader_sees_the_state_before_a_write_in_progress(
        self, sqlite_store: SqliteMeterStore
    ) -> None:
        # Given
        sqlite_store.write_readings(METER, iter([readings(10)]))
        seen = []

        def reading_meanwhile() -> Iterator[History]:
            yield readings(10, first_hour=10)
            seen.append(len(sqlite_store.read_history(METER)))
            yield readings(10, first_hour=20)

        # When
        sqlite_store.write_readings(METER, reading_meanwhile())
        # Then
        assert seen == [10]
        assert len(sqlite_store.read_history(METER)) == 30

    def test_a_writer_waits_for_another_only_so_long(self, tmp_path: Path) -> None:
        # Given
        patient = SqliteMeterStore(tmp_path / "meters.sqlite")
        impatient = SqliteMeterStore(tmp_path / "meters.sqlite", lock_timeout_s=0.05)

        def writing_meanwhile() -> Iterator[History]:
            yield readings(10)
            with pytest.raises(DeadlineExceeded, match="locked"):
                impatient.write_profile(METER, MeterProfile(unit="kWh"))

        # When, Then
        assert patient.write_readings(METER, writing_meanwhile()) == 10
        impatient.write_profile(METER, MeterProfile(unit="kWh"))

    def test_no_connection_outlives_a_call(self, tmp_path: Path) -> None:
        # Given
        path = tmp_path / "meters.sqlite"
        store = SqliteMeterStore(path)
        store.write_readings(METER, iter([readings(10)]))
        # When
        path.rename(tmp_path / "moved.sqlite")
        # Then: nothing but the file itself was left, and it is whole
        assert [left.name for left in tmp_path.iterdir()] == ["moved.sqlite"]
        assert len(SqliteMeterStore(tmp_path / "moved.sqlite").read_history(METER)) == 10


class TestDamage:
    def test_a_file_that_is_no_database_is_a_storage_error(self, tmp_path: Path) -> None:
        path = tmp_path / "meters.sqlite"
        path.write_bytes(b"this is no database at all" * 100)
        store = SqliteMeterStore(path)
        for call in (store.check, store.list_meters, lambda: store.read_history(METER)):
            with pytest.raises(StorageFailed, match="not a database"):
                call()

    def test_a_damaged_page_is_a_storage_error(self, tmp_path: Path) -> None:
        # Given
        path = tmp_path / "meters.sqlite"
        store = SqliteMeterStore(path)
        store.write_readings(METER, iter([readings(5_000)]))
        content = bytearray(path.read_bytes())
        content[4096 * 4 :] = b"\xaa" * len(content[4096 * 4 :])
        path.write_bytes(content)
        # When, Then
        with pytest.raises(StorageFailed, match="malformed"):
            store.read_history(METER)

    def test_a_file_of_a_newer_release_is_refused(self, sqlite_store: SqliteMeterStore) -> None:
        # Given
        sqlite_store.check()
        with sqlite3.connect(sqlite_store._path) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()
        # When, Then
        with pytest.raises(StorageFailed, match="999"):
            sqlite_store.check()

    def test_a_file_of_the_first_version_is_brought_up_to_date(
        self, sqlite_store: SqliteMeterStore
    ) -> None:
        # Given a file from before temperature forecasts were kept
        sqlite_store.write_readings(METER, iter([readings(3)]))
        with sqlite3.connect(sqlite_store._path) as connection:
            connection.execute("DROP TABLE temperature_forecasts")
            connection.execute("ALTER TABLE meters DROP COLUMN resolution_s")
            connection.execute("PRAGMA user_version = 1")
        connection.close()
        moment = datetime(2024, 1, 2, tzinfo=UTC)
        forecast = TemperatureForecast(
            timestamps=np.array(["2024-01-02T00:00:00"], dtype="datetime64[s]"),
            degrees=np.array([4.0]),
        )
        # When
        sqlite_store.write_temperature_forecast(METER, forecast)
        # Then
        held = sqlite_store.read_temperature_forecast(
            METER, start=moment, end=moment + timedelta(hours=1)
        )
        assert held.degrees.tolist() == [4.0]
        assert len(sqlite_store.read_history(METER)) == 3

    def test_a_file_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        # Given
        path = tmp_path / "other.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE readings (mine)")
        connection.close()
        before = path.read_bytes()
        # When, Then
        with pytest.raises(StorageFailed, match="another program"):
            SqliteMeterStore(path).list_meters()
        assert path.read_bytes() == before


class TestFolder:
    def test_a_path_below_a_file_is_a_storage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageFailed, match="cannot be used"):
            SqliteMeterStore(tmp_path / "file" / "meters.sqlite").check()

    def test_a_folder_in_place_of_the_file_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageFailed, match="unable to open"):
            SqliteMeterStore(tmp_path).check()

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StorageFailed, match="cannot be used"):
            SqliteMeterStore(tmp_path / "meters.sqlite").check()

    @pytest.mark.skipif(os.name == "nt", reason="limits of a process are POSIX")
    def test_a_full_disk_is_a_storage_error_and_loses_nothing(self, tmp_path: Path) -> None:
        # Given: a process whose files cannot grow beyond 400 kB
        path = tmp_path / "meters.sqlite"
        store = SqliteMeterStore(path)
        store.write_readings(METER, iter([readings(1_000)]))
        program = """
            import resource, sys
            from pathlib import Path
            from tests.integration.meters.test_sqlite import METER, readings
            from energy_forecasting.domain.errors import StorageFailed
            from energy_forecasting.meters.sqlite import SqliteMeterStore

            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            try:
                SqliteMeterStore(Path(sys.argv[1])).write_readings(
                    METER, iter([readings(100_000, first_hour=500)])
                )
            except StorageFailed as error:
                print(error.error_type)
        """
        # When
        output, errors = started(program, path).communicate(timeout=60)
        # Then
        assert (output.strip(), errors) == ("STORAGE_ERROR", "")
        assert store.describe(METER).readings == 1_000
        assert len(store.read_history(METER)) == 1_000


class TestSpeed:
    @pytest.mark.parametrize(
        ("query", "parameters"),
        [
            (f"{sqlite._SUMMARIES} ORDER BY meter_type, meter_id", []),
            (f"{sqlite._SUMMARIES} WHERE meter_type = ? AND meter_id = ?", ["water", "w1"]),
            (sqlite._HISTORY, ["electricity", "office-1", 0, 1]),
            (sqlite._COUNTS, [1, 0, 1]),
        ],
    )
    def test_no_query_scans_the_readings(
        self, sqlite_store: SqliteMeterStore, query: str, parameters: list[object]
    ) -> None:
        with sqlite_store._connection() as connection:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters).fetchall()
        steps = [step for *_, step in plan]
        assert any(step.startswith("SEARCH readings USING PRIMARY KEY") for step in steps)
        assert not any("SCAN readings" in step or "TEMP B-TREE" in step for step in steps)

    def test_a_file_of_an_older_release_gains_the_resolution(self, tmp_path: Path) -> None:
        # Given a file as the first release wrote it
        path = tmp_path / "old.sqlite"
        old = SqliteMeterStore(path)
        old.write_profile(METER, MeterProfile(unit="m3", timezone="Europe/Rome"))
        old.write_readings(METER, iter([readings(3)]))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE temperature_forecasts")
            connection.execute("ALTER TABLE meters DROP COLUMN resolution_s")
            connection.execute("PRAGMA user_version = 1")
        # When this one opens it
        summary = SqliteMeterStore(path).describe(METER)
        # Then all is there, and a resolution can be declared
        assert summary.readings == 3
        assert summary.profile == MeterProfile(unit="m3", timezone="Europe/Rome")
        declared = replace(summary.profile, resolution=timedelta(minutes=15))
        SqliteMeterStore(path).write_profile(METER, declared)
        assert SqliteMeterStore(path).describe(METER).profile == declared

    def test_ten_thousand_meters_are_listed(self, sqlite_store: SqliteMeterStore) -> None:
        # Given
        sqlite_store.check()
        with sqlite_store._transaction() as connection:
            connection.executemany(
                "INSERT INTO meters (meter_type, meter_id, unit, timezone, reading_kind, readings) "
                "VALUES ('water', ?, 'm3', 'UTC', 'interval', 1)",
                ((f"w{number:05d}",) for number in range(10_000)),
            )
            connection.execute("INSERT INTO readings SELECT meter_key, 0, 1.0, NULL FROM meters")
        # When
        summaries = sqlite_store.list_meters("water")
        # Then
        assert len(summaries) == 10_000
        assert {summary.last_reading for summary in summaries} == {datetime(1970, 1, 1, tzinfo=UTC)}
