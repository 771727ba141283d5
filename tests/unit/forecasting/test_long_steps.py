"""Meters that are read every few hours or once a day: training, origins and forecasts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.aggregation import hours_inside, to_hourly
from energy_forecasting.domain.cadence import Cadence, over_steps
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.quality import FindingCode
from energy_forecasting.domain.readings import HOUR, History, to_datetime, to_datetime64
from energy_forecasting.domain.resolutions import checked_resolution
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.features import build_features
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.quality.report import quality_report
from energy_forecasting.forecasting.stepping import Stepper, step_bounds

LONDON = LocalCalendar(timezone="Europe/London", country="GB")
GAS = Meter(meter_type="gas", meter_id="ucam_b31_gas")
DAY = timedelta(days=1)

MIDNIGHT = Cadence(step=DAY, calendar=LONDON)
GAS_DAY = Cadence(step=DAY, calendar=LONDON, phase_s=6 * 3600)
UTC_DAY = Cadence(step=DAY)
SIX_HOURS = Cadence(step=timedelta(hours=6), calendar=LONDON)
CADENCES = pytest.mark.parametrize(
    "steps", [MIDNIGHT, GAS_DAY, UTC_DAY, SIX_HOURS], ids=["midnight", "gas", "utc", "six hours"]
)


def in_steps(history: History, steps: Cadence) -> History:
    """Read a meter less often."""
    starts, ends = step_bounds(history.timestamps, steps)
    starts, ends = starts[1:-1], ends[1:-1]
    columns = (history.consumption, True), (history.temperature, False)
    consumption, temperature = (
        over_steps(history.timestamps, values[:, None], starts, ends, adds_up=adds_up)[:, 0]
        for values, adds_up in columns
    )
    return History(timestamps=starts, consumption=consumption, temperature=temperature)


def rows_of(readings: History) -> TrainingExamples:
    grid = LocalGrid.from_history(to_hourly(readings, ReadingKind.INTERVAL), LONDON)
    grid = grid.with_long_readings(hours_inside(readings, ReadingKind.INTERVAL))
    return TrainingExamples.from_grid(grid, uses_temperature=True)


@pytest.fixture(scope="module")
def gas(sample_history: Callable[[str], History]) -> History:
    return sample_history(GAS.meter_id)


@CADENCES
def test_no_training_row_knows_the_reading_that_its_origin_lies_in(
    gas: History, steps: Cadence
) -> None:
    # Given readings, and the same with one of them changed; it spans a change of the clocks
    readings = in_steps(gas, steps)
    at = int(np.searchsorted(readings.timestamps, np.datetime64("2022-10-29T12")))
    changed = readings.consumption.copy()
    changed[at] *= 3
    # When the features of all training origins are built from either
    rows = rows_of(readings)
    origins = np.unique(rows.origins)
    mine, others = (
        build_features(each.grid, origins, 168, scale=1.0).values
        for each in (rows, rows_of(replace(readings, consumption=changed)))
    )
    # Then they are the same up to the reading's start, and no origin lies within it
    start, end = rows.grid.hours_of(readings.timestamps[at : at + 2])
    np.testing.assert_array_equal(mine[origins <= start], others[origins <= start])
    assert not ((origins > start) & (origins < end)).any()
    following = origins[origins >= end][0]
    assert (mine[origins == following] != others[origins == following]).any(axis=-1).all()


@CADENCES
def test_origins_are_starts_of_readings_all_year(gas: History, steps: Cadence) -> None:
    readings = in_steps(gas, steps)
    rows = rows_of(readings)
    starts = rows.grid.hours_of(readings.timestamps)
    origins = np.unique(rows.origins)
    assert np.isin(origins, starts).all()
    assert len(origins) >= 300


@CADENCES
def test_a_reading_belongs_to_one_fold(gas: History, steps: Cadence) -> None:
    readings = in_steps(gas, steps)
    rows = rows_of(readings)
    reading = np.searchsorted(
        rows.grid.hours_of(readings.timestamps), rows.targets[rows.known], side="right"
    )
    folds = rows.folds[rows.known]
    for each in np.unique(reading)[::5]:
        assert len(set(folds[reading == each].tolist())) == 1


def test_hourly_meters_keep_the_origins_that_they_had(gas: History) -> None:
    grid = LocalGrid.from_history(gas, LONDON)
    rows = TrainingExamples.from_grid(grid, uses_temperature=False)
    assert {0, 1, 8, 15} <= set((np.unique(rows.origins) % 24).tolist())


def test_a_daily_meter_is_no_cause_for_alarm(gas: History) -> None:
    readings = in_steps(gas, GAS_DAY)
    report = quality_report(readings, MeterProfile(timezone="Europe/London"))
    assert report.resolution_s == 86_400
    assert report.missing_hours == 0
    assert {FindingCode.FLAT_RUNS, FindingCode.IRREGULAR_STEPS, FindingCode.CLOCK_JUMP}.isdisjoint(
        finding.code for finding in report.findings
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("steps", [MIDNIGHT, GAS_DAY], ids=["midnight", "gas"])
def test_a_year_of_daily_readings_beats_last_week_a_day_ahead(
    gas: History, steps: Cadence, tmp_path: Path
) -> None:
    from energy_forecasting.forecasting.training import train  # noqa: PLC0415
    from energy_forecasting.registry.artifact import (  # noqa: PLC0415
        read_card,
        read_weights,
        write_card,
    )

    # Given a model that learnt all but the last eight weeks
    readings = in_steps(gas, steps)
    cut = to_datetime(readings.timestamps[-56])
    known = readings.before(cut)
    profile = MeterProfile(
        timezone="Europe/London",
        country="GB",
        resolution=checked_resolution(known.timestamps, None),
    )
    trained = train(
        to_hourly(known, ReadingKind.INTERVAL),
        GAS,
        profile,
        TrainingOptions(max_trials=0),
        lambda _: None,
        inside=hours_inside(known, ReadingKind.INTERVAL),
    )
    trained.network.save(tmp_path / "model.h5")
    write_card(tmp_path / "model.h5", trained.card)
    forecaster = Forecaster(read_card(tmp_path / "model.h5"), read_weights(tmp_path / "model.h5"))
    # When it forecasts a week from every day on
    stepper = Stepper(steps=steps, kind=ReadingKind.INTERVAL, card=forecaster.card)
    errors, naive_errors = [], []
    for at in range(len(readings) - 56, len(readings) - 7):
        origin = to_datetime(readings.timestamps[at])
        hourly = to_hourly(readings, ReadingKind.INTERVAL).before(origin)
        past, week = stepper.bring(
            forecaster.forecast(hourly, Horizon(origin=origin, hours=168)),
            readings=readings,
            history=hourly,
        )
        # Then it answers in days that continue the meter's own
        np.testing.assert_allclose(
            past.consumption[-30:], readings.consumption[at - 30 : at], rtol=1e-6
        )
        count = min(len(week.timestamps), len(readings) - at)
        assert len(week.timestamps) == 7
        np.testing.assert_array_equal(week.timestamps[:count], readings.timestamps[at : at + count])
        assert (np.diff(week.quantiles, axis=1) >= 0).all()
        errors.append(abs(week.median[0] - readings.consumption[at]))
        naive_errors.append(abs(readings.consumption[at - 7] - readings.consumption[at]))
    # And beats last week's value clearly
    assert forecaster.card.resolution_minutes == 1440
    assert np.mean(errors) < 0.85 * np.mean(naive_errors)


def test_seven_local_days_over_the_autumn_change_are_seven_steps() -> None:
    start = MIDNIGHT.start_of(to_datetime(np.datetime64("2022-10-26T12", "s")))
    hours = to_datetime64(start) + np.arange(168) * HOUR
    starts, ends = step_bounds(hours, MIDNIGHT)
    assert len(starts) == 7
    assert ((ends - starts) / HOUR).tolist() == [24, 24, 24, 24, 25, 24, 24]
    # The last of the 169 hours is not forecast: the day is scaled up from the 23 others
    total = over_steps(hours, np.ones((168, 1)), starts, ends, adds_up=True)[:, 0]
    assert total.tolist() == [24, 24, 24, 24, 25, 24, 24]
