"""Model cards and artifacts for tests that need some, trained by nobody."""

from datetime import UTC, datetime
from pathlib import Path

import h5py

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.model_card import DataSpan, ForecastMethod, GateReport, ModelCard
from energy_forecasting.registry.artifact import write_card

METER = Meter(meter_type="water", meter_id="m1")


def card(version: str, meter: Meter = METER) -> ModelCard:
    moment = datetime(2026, 1, 15, 10, tzinfo=UTC)
    return ModelCard(
        meter_type=meter.meter_type,
        meter_id=meter.meter_id,
        version=version,
        method=ForecastMethod.SEASONAL_NAIVE,
        method_reason="made for a test",
        trained_at=moment,
        unit="m3/h",
        timezone="UTC",
        country=None,
        data=DataSpan(
            first_reading=moment,
            last_reading=moment,
            readings=1,
            missing_share=0.0,
            lowest=0.0,
            highest=1.0,
        ),
        skill=None,
        uses_temperature=False,
        feature_names=[],
        scale=1.0,
        non_negative=True,
        quantile_levels=[0.5],
        calibration={},
        baseline_residuals=[],
        seed=0,
        training_seconds=0.1,
        software={},
    )


def gate_report(compared_with: str | None, *, promoted: bool) -> GateReport:
    return GateReport(
        compared_with=compared_with,
        window=None,
        days=56,
        challenger_mase=0.8,
        champion_mase=0.7,
        p_value=0.5 if promoted else 0.01,
        promoted=promoted,
        reason=f"{'Not clearly worse' if promoted else 'Worse'} than the champion.",
    )


def write_artifact(path: Path, model_card: ModelCard) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
    write_card(path, model_card)
