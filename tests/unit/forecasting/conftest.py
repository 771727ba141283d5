"""Made-up meters, and a model with random weights for tests that need no training."""

import csv
import gzip
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.model_card import DataSpan, ForecastMethod, ModelCard
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.forecasting.features import (
    SIGHTED_SUFFIX,
    SURPRISE_FEATURES,
    TEMPERATURE_FEATURES,
)
from energy_forecasting.forecasting.recipe import HIDDEN_UNITS

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample.csv.gz"

#: What the day-ahead regressions see: consumption and calendar, and with the temperature.
BLIND_INPUTS = 49
SIGHTED_INPUTS = BLIND_INPUTS + len(TEMPERATURE_FEATURES)

#: What the network sees: that, and what surprised the regressions.
BLIND_FEATURES = BLIND_INPUTS + len(SURPRISE_FEATURES)
FEATURES = SIGHTED_INPUTS + 2 * len(SURPRISE_FEATURES)

HistoryFactory = Callable[..., History]
CardFactory = Callable[..., ModelCard]
Weights = Mapping[str, npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def make_history() -> HistoryFactory:
    """Return a maker of hourly histories with a daily and weekly habit, noise and weather."""

    def make(
        days: float = 60, *, start: str = "2024-01-01T00", seed: int = 0, noise: float = 0.1
    ) -> History:
        generator = np.random.default_rng(seed)
        hours = np.arange(round(days * 24))
        weather = np.repeat(generator.normal(0, 3, len(hours) // 24 + 1), 24)[: len(hours)]
        temperature = 10 + 5 * np.sin(2 * np.pi * (hours - 9) / 24) + weather
        habit = 3 + np.sin(2 * np.pi * hours / 24) + np.where(hours // 24 % 7 >= 5, -1.0, 0.0)
        return History(
            timestamps=(np.datetime64(start, "s") + hours * HOUR).astype("datetime64[s]"),
            consumption=habit - 0.05 * temperature + generator.normal(0, noise, len(hours)),
            temperature=temperature,
        )

    return make


@pytest.fixture(scope="session")
def sample_history() -> Callable[[str], History]:
    """Return a reader of the real meters that ship with the project."""

    def read(meter_id: str) -> History:
        with gzip.open(SAMPLE, "rt", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["meter_id"] == meter_id]
        return History.from_readings(
            np.array([row["timestamp"].removesuffix("Z") for row in rows], "datetime64[s]"),
            np.array([float(row["consumption"] or "nan") for row in rows]),
            np.array([float(row["temperature"] or "nan") for row in rows]),
        )

    return read


@pytest.fixture
def make_card() -> CardFactory:
    """Return a maker of cards of a network with temperature; any field can be replaced."""

    def make(**changes: object) -> ModelCard:
        names = [f"feature_{number}" for number in range(BLIND_FEATURES)]
        unexpected = [f"{name}{SIGHTED_SUFFIX}" for name in SURPRISE_FEATURES]
        moment = datetime(2024, 6, 1, tzinfo=UTC)
        card = ModelCard(
            meter_type="electricity",
            meter_id="meter_1",
            version="20240601T000000Z-0a1b2c3d",
            method=ForecastMethod.QUANTILE_NETWORK,
            method_reason="It is a test.",
            trained_at=moment,
            unit="kWh",
            timezone="Europe/Rome",
            country="IT",
            data=DataSpan(
                first_reading=moment,
                last_reading=moment,
                readings=1,
                missing_share=0.0,
                lowest=-1e6,
                highest=1e6,
            ),
            skill=None,
            uses_temperature=True,
            feature_names=[*names, *TEMPERATURE_FEATURES, *unexpected],
            scale=0.5,
            non_negative=True,
            temperature_mean=10.0,
            temperature_std=5.0,
            quantile_levels=list(QUANTILE_LEVELS),
            calibration={
                "request": [[1.1] * 9, [1.2] * 9],
                "unused": [[1.3] * 9, [1.4] * 9],
            },
            baseline_residuals=[[float(level) for level in range(-4, 5)]] * 24,
            seed=0,
            training_seconds=1.0,
            software={},
        )
        return card.model_copy(update=changes)

    return make


@pytest.fixture(scope="session")
def random_weights() -> Weights:
    """Return weights of a network with temperature, as an artifact holds them."""
    generator = np.random.default_rng(0)
    features, members = FEATURES, 8
    shapes: dict[str, tuple[int, ...]] = {
        "member_inputs/mask": (members, 1, features),
        "expectation/mean": (BLIND_INPUTS,),
        "expectation/coefficients": (24, BLIND_INPUTS + 1),
        "expectation_with_temperature/mean": (SIGHTED_INPUTS,),
        "expectation_with_temperature/coefficients": (24, SIGHTED_INPUTS + 1),
    }
    inputs = features
    for number, units in enumerate(HIDDEN_UNITS, start=1):
        shapes[f"hidden_{number}/kernel"] = (members, inputs, units)
        shapes[f"hidden_{number}/bias"] = (members, 1, units)
        inputs = units
    shapes |= {
        "quantiles/kernel": (members, inputs, 9),
        "quantiles/bias": (members, 1, 9),
        "linear/kernel": (members, features, 1),
        "linear/bias": (members, 1, 1),
    }
    weights = {
        name: generator.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()
    }
    for name in weights:
        if name.endswith("/coefficients"):
            weights[name] *= 0.1
    mask = np.ones(shapes["member_inputs/mask"], dtype=np.float32)
    mask[: members // 2, :, BLIND_FEATURES:] = 0
    weights["member_inputs/mask"] = mask
    weights["standardise/mean"] = generator.normal(0, 1, features).astype(np.float32)
    weights["standardise/deviation"] = np.ones(features, dtype=np.float32)
    weights["expectation/deviation"] = np.ones(BLIND_INPUTS, dtype=np.float32)
    weights["expectation_with_temperature/deviation"] = np.ones(SIGHTED_INPUTS, dtype=np.float32)
    return weights
