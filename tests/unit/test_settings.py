"""Settings: read from the environment, refused in a sentence, documented in README."""

from pathlib import Path

import pytest

from energy_forecasting.bootstrap import quality_limits
from energy_forecasting.domain.quality import QualityLimits
from energy_forecasting.settings import (
    WrongSetting,
    read_environment,
    read_settings,
    settings_table,
)
from tests.conftest import PROJECT_DIR


def test_the_environment_overrides_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_THREADS", "3")
    monkeypatch.setenv("METER_TYPES", '["electricity", "steam"]')

    settings = read_settings()

    assert settings.worker_threads == 3
    assert settings.meter_types == ("electricity", "steam")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKER_THREADS", "0"),
        ("DEBUG", "maybe"),
        ("LOG_FORMAT", "xml"),
        ("METER_TYPES", "water"),
        ("HISTORY_DAYS", "2000"),
        ("QUALITY_MAX_MISSING_SHARE", "1"),
        ("QUALITY_MAX_GAP_DAYS", "0"),
        ("TRAININGS_PER_HOUR", "-1"),
        ("CORS_ORIGINS", '["https://portal.example/"]'),
        ("CORS_ORIGINS", "https://portal.example"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(WrongSetting) as refused:
        read_settings()
    assert variable.lower() in str(refused.value).lower()


def test_the_limits_of_data_quality_come_from_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert quality_limits(read_settings()) == QualityLimits()

    monkeypatch.setenv("QUALITY_MAX_MISSING_SHARE", "0.1")
    monkeypatch.setenv("QUALITY_MAX_GAP_DAYS", "14")
    monkeypatch.setenv("QUALITY_MAX_FLAT_SHARE", "0.2")
    monkeypatch.setenv("QUALITY_MAX_OUTLIER_SHARE", "0.3")
    monkeypatch.setenv("QUALITY_MAX_NEGATIVE_SHARE", "0.4")

    assert quality_limits(read_settings()) == QualityLimits(
        missing_share=0.1, gap_days=14, flat_share=0.2, outlier_share=0.3, negative_share=0.4
    )


def test_what_env_adds_counts_where_the_environment_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given
    env_file = tmp_path / ".env"
    env_file.write_text("INFLUXDB_ORG=from-file\nINFLUXDB_URL='http://file'\nEMPTY\n")
    monkeypatch.setenv("INFLUXDB_URL", "http://environment")
    monkeypatch.delenv("INFLUXDB_ORG", raising=False)
    # When
    environment = read_environment(env_file)
    # Then
    assert environment["INFLUXDB_ORG"] == "from-file"
    assert environment["INFLUXDB_URL"] == "http://environment"
    assert "EMPTY" not in environment
    assert "INFLUXDB_ORG" not in read_environment(tmp_path / "nothing")


def test_the_table_in_readme_is_the_one_made_from_the_settings() -> None:
    assert settings_table() in Path(PROJECT_DIR / "README.md").read_text(encoding="utf-8")
