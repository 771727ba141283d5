"""The embedded meter store: one SQLite file, no server.

Readings are clustered by meter and time, so a history is one contiguous range of the file and
a meter's first and last reading are two seeks. Several threads and processes may read while
one writes (write-ahead log); writers take turns. It cannot serve a network file system, as
SQLite's locks do not work there, and keeps whole seconds only.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from energy_forecasting.domain.errors import (
    DeadlineExceeded,
    EnergyForecastingError,
    StorageFailed,
)
from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary, ReadingKind
from energy_forecasting.domain.readings import MINIMUM_TEMPERATURE_SHARE, History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.spans import Span, no_data_found
from energy_forecasting.meters.store import StoreStatus

_TABLES_1 = """
CREATE TABLE meters (
    meter_key    INTEGER PRIMARY KEY,
    meter_type   TEXT NOT NULL,
    meter_id     TEXT NOT NULL,
    unit         TEXT NOT NULL,
    timezone     TEXT NOT NULL,
    country      TEXT,
    reading_kind TEXT NOT NULL,
    readings     INTEGER NOT NULL DEFAULT 0,  -- rows in readings, kept in step by every write
    temperatures INTEGER NOT NULL DEFAULT 0,  -- of them with a temperature
    UNIQUE (meter_type, meter_id)
) STRICT;

CREATE TABLE readings (
    meter_key    INTEGER NOT NULL REFERENCES meters,
    at           INTEGER NOT NULL,  -- seconds since 1970, UTC
    consumption  REAL,              -- NULL where the reading is unusable
    temperature  REAL,              -- NULL where unknown
    PRIMARY KEY (meter_key, at)
) STRICT, WITHOUT ROWID;
"""

_TABLES_2 = """
-- The declared step; NULL means what is found.
ALTER TABLE meters ADD COLUMN resolution_s INTEGER;

CREATE TABLE temperature_forecasts (
    meter_key    INTEGER NOT NULL REFERENCES meters,
    at           INTEGER NOT NULL,  -- seconds since 1970, UTC
    degrees      REAL NOT NULL,     -- Celsius
    PRIMARY KEY (meter_key, at)
) STRICT, WITHOUT ROWID;
"""

#: What each version of the tables added; a file is brought up to date when it is opened.
_STEPS = (_TABLES_1, _TABLES_2)

#: Stands in ``PRAGMA user_version``.
SCHEMA_VERSION = len(_STEPS)

# The first and last usable reading are a seek each in the clustered table, however many there are.
_SUMMARIES = """
SELECT meter_type, meter_id, unit, timezone, country, reading_kind, resolution_s,
    readings, temperatures,
    (SELECT at FROM readings WHERE meter_key = meters.meter_key AND consumption IS NOT NULL
     ORDER BY at LIMIT 1),
    (SELECT at FROM readings WHERE meter_key = meters.meter_key AND consumption IS NOT NULL
     ORDER BY at DESC LIMIT 1)
FROM meters
"""

_HISTORY = """
SELECT at, consumption, temperature FROM readings
WHERE meter_key = (SELECT meter_key FROM meters WHERE meter_type = ? AND meter_id = ?)
    AND at >= ? AND at < ?
ORDER BY at
"""

_TEMPERATURE_FORECAST = """
SELECT at, degrees FROM temperature_forecasts
WHERE meter_key = (SELECT meter_key FROM meters WHERE meter_type = ? AND meter_id = ?)
    AND at >= ? AND at < ?
ORDER BY at
"""

_UPSERT_PROFILE = """
INSERT INTO meters (meter_type, meter_id, unit, timezone, country, reading_kind, resolution_s)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (meter_type, meter_id) DO UPDATE SET
    unit = excluded.unit, timezone = excluded.timezone,
    country = excluded.country, reading_kind = excluded.reading_kind,
    resolution_s = excluded.resolution_s
"""

_ADD_METER = """
INSERT OR IGNORE INTO meters
    (meter_type, meter_id, unit, timezone, country, reading_kind, resolution_s)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

_COUNTS = """
SELECT count(*), count(temperature) FROM readings
WHERE meter_key = ? AND at BETWEEN ? AND ?
"""

_FIRST_MOMENT, _LAST_MOMENT = -(2**63), 2**63 - 1

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_LOCK_POLL_S = 0.01
_PRIMARY_CODE = 0xFF  # SQLite keeps the kind of an error in the lowest byte of its code


class SqliteMeterStore:
    """Meters and readings in one file; see the protocol ``MeterStore``.

    Every call opens the file anew: that costs a fraction of a millisecond, and no connection
    is ever shared between threads or carried across a fork.

    Args:
        path: the file; it and its folder are created at the first use.
        lock_timeout_s: how long a call waits for another writer before ``DeadlineExceeded``.
    """

    kind = "sqlite"

    def __init__(self, path: Path, *, lock_timeout_s: float = 10.0) -> None:
        self._path = path
        self._lock_timeout_s = lock_timeout_s

    def check(self) -> StoreStatus:
        """Open the file and see that it is ours."""
        with self._connection():
            return StoreStatus(kind=self.kind, version=sqlite3.sqlite_version)

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter, or those of one type, ordered by type and id."""
        with self._connection() as connection:
            rows = connection.execute(
                f"{_SUMMARIES} WHERE ?1 IS NULL OR meter_type = ?1 ORDER BY meter_type, meter_id",
                (meter_type,),
            ).fetchall()
        return [_summary(row) for row in rows]

    def describe(
        self,
        meter: Meter,
        *,
        counted: bool = True,  # noqa: ARG002 - counting costs nothing here
    ) -> MeterSummary:
        """Return what the store holds of a meter; ``NoDataFound`` when it has no reading."""
        with self._connection() as connection:
            row = connection.execute(
                f"{_SUMMARIES} WHERE meter_type = ? AND meter_id = ?",
                (meter.meter_type, meter.meter_id),
            ).fetchone()
        summary = _summary(row) if row else None
        if summary is None or summary.first_reading is None:
            raise no_data_found(meter, Span())
        return summary

    def read_history(
        self,
        meter: Meter,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        whole_hours_before: datetime | None = None,  # noqa: ARG002 - reading them all is quick
    ) -> History:
        """Return the readings of a span; ``NoDataFound`` when there is none."""
        span = Span.between(start, end)
        first = _FIRST_MOMENT if span.start is None else span.start
        beyond = _LAST_MOMENT if span.end is None else span.end
        with self._connection() as connection:
            rows = connection.execute(
                _HISTORY, (meter.meter_type, meter.meter_id, first, beyond)
            ).fetchall()
        if not rows:
            raise no_data_found(meter, span)
        at, consumption, temperature = zip(*rows, strict=True)
        return History(
            timestamps=np.array(at, dtype=np.int64).astype("datetime64[s]"),
            consumption=np.array(consumption, dtype=np.float64),
            temperature=np.array(temperature, dtype=np.float64),
        )

    def read_temperature_forecast(
        self, meter: Meter, *, start: datetime, end: datetime
    ) -> TemperatureForecast:
        """Return what is forecast within a span; empty when nothing is."""
        span = Span.between(start, end)
        with self._connection() as connection:
            rows = connection.execute(
                _TEMPERATURE_FORECAST, (meter.meter_type, meter.meter_id, span.start, span.end)
            ).fetchall()
        return TemperatureForecast(
            timestamps=np.array([at for at, _ in rows], dtype=np.int64).astype("datetime64[s]"),
            degrees=np.array([degrees for _, degrees in rows], dtype=np.float64),
        )

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        """Create the meter or replace what is known of it."""
        with self._transaction() as connection:
            connection.execute(_UPSERT_PROFILE, _profile_row(meter, profile))

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        """Insert or replace readings, all or nothing; other writers wait meanwhile."""
        written = 0
        with self._transaction() as connection:
            connection.execute(_ADD_METER, _profile_row(meter, MeterProfile()))
            (key,) = connection.execute(
                "SELECT meter_key FROM meters WHERE meter_type = ? AND meter_id = ?",
                (meter.meter_type, meter.meter_id),
            ).fetchone()
            for batch in batches:
                if len(batch):
                    _write_batch(connection, key, batch)
                    written += len(batch)
        return written

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        """Insert or replace temperatures of a known meter, all or nothing."""
        self.describe(meter)
        at = forecast.timestamps.astype("datetime64[s]").astype(np.int64).tolist()
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO temperature_forecasts SELECT meter_key, ?3, ?4 "
                "FROM meters WHERE meter_type = ?1 AND meter_id = ?2",
                (
                    (meter.meter_type, meter.meter_id, *value)
                    for value in zip(at, forecast.degrees.tolist(), strict=True)
                ),
            )

    def close(self) -> None:
        """Do nothing: no connection outlives a call."""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Take the write lock; commit at the end, roll back when anything fails."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._explained(error) from error
        try:
            with closing(
                sqlite3.connect(self._path, timeout=self._lock_timeout_s, isolation_level=None)
            ) as connection:
                self._prepare(connection)
                yield connection
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create what is missing; refuse a file that a newer release has written."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            if version == 0:
                self._refuse_foreign(connection)
                self._write_ahead(connection)
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been first while this one waited for the lock.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._refuse_foreign(connection)
            if version < SCHEMA_VERSION:
                self._create_tables(connection, version)
                version = SCHEMA_VERSION
            connection.execute("COMMIT")
        if version != SCHEMA_VERSION:
            raise StorageFailed(
                f"{self._path} has schema version {version}, this release reads "
                f"{SCHEMA_VERSION}; use the release that wrote it, or import into a new file.",
                path=str(self._path),
            )
        # With a write-ahead log a crash of the process loses nothing; a power cut may lose the
        # last commits but never damages the file.
        connection.execute("PRAGMA synchronous = NORMAL")

    def _refuse_foreign(self, connection: sqlite3.Connection) -> None:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        # Read after the tables: another process may be creating ours at this moment.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and version == 0:
            raise StorageFailed(
                f"{self._path} is a database of another program; name another file.",
                path=str(self._path),
            )

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Turn the write-ahead log on; the file keeps it.

        SQLite does not wait for a lock when it changes this mode, so several creators at once
        have to try again by themselves.
        """
        deadline = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                is_locked = error.sqlite_errorcode & _PRIMARY_CODE in _LOCKED
                if not is_locked or time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_POLL_S)
            else:
                return

    def _create_tables(self, connection: sqlite3.Connection, version: int) -> None:
        for step in _STEPS[version:]:
            for statement in step.split(";\n\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _explained(self, error: sqlite3.Error | OSError) -> EnergyForecastingError:
        """Turn an error of SQLite or the file system into one of ours."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & _PRIMARY_CODE in _LOCKED:
            return DeadlineExceeded(
                f"Another process kept {self._path} locked for more than "
                f"{self._lock_timeout_s:g} s; try again when its import has ended.",
                path=str(self._path),
            )
        return StorageFailed(
            f"The meter store {self._path} cannot be used: {error}; check the disk's free space, "
            "the folder's permissions and that the file is a meter store.",
            path=str(self._path),
        )


def _write_batch(connection: sqlite3.Connection, key: int, batch: History) -> None:
    """Insert or replace a batch's readings and keep the meter's counts in step."""
    at = batch.timestamps.astype("datetime64[s]").astype(np.int64).tolist()
    counted = (key, at[0], at[-1])
    before = connection.execute(_COUNTS, counted).fetchone()
    connection.executemany(
        "INSERT OR REPLACE INTO readings (meter_key, at, consumption, temperature) "
        "VALUES (?, ?, ?, ?)",
        # SQLite stores NaN as NULL.
        (
            (key, *reading)
            for reading in zip(
                at, batch.consumption.tolist(), batch.temperature.tolist(), strict=True
            )
        ),
    )
    after = connection.execute(_COUNTS, counted).fetchone()
    connection.execute(
        "UPDATE meters SET readings = readings + ?, temperatures = temperatures + ? "
        "WHERE meter_key = ?",
        (after[0] - before[0], after[1] - before[1], key),
    )


def _profile_row(meter: Meter, profile: MeterProfile) -> tuple[str | int | None, ...]:
    return (
        meter.meter_type,
        meter.meter_id,
        profile.unit,
        profile.timezone,
        profile.country,
        profile.reading_kind.value,
        None if profile.resolution is None else int(profile.resolution.total_seconds()),
    )


def _summary(row: tuple[Any, ...]) -> MeterSummary:
    """Read a row of ``_SUMMARIES``."""
    meter_type, meter_id, unit, timezone, country, reading_kind, resolution_s, *held = row
    readings, temperatures, first, last = held
    return MeterSummary(
        meter=Meter(meter_type=meter_type, meter_id=meter_id),
        profile=MeterProfile(
            unit=unit,
            timezone=timezone,
            country=country,
            reading_kind=ReadingKind(reading_kind),
            resolution=None if resolution_s is None else timedelta(seconds=resolution_s),
        ),
        readings=readings,
        first_reading=None if first is None else datetime.fromtimestamp(first, tz=UTC),
        last_reading=None if last is None else datetime.fromtimestamp(last, tz=UTC),
        has_temperature=readings > 0 and temperatures >= MINIMUM_TEMPERATURE_SHARE * readings,
    )
