"""Settings: read from the environment, refused in a sentence, documented in README."""

from pathlib import Path

import pytest

from energy_forecasting.settings import WrongSetting, read_settings, settings_table
from tests.conftest import PROJECT_DIR


def test_the_environment_overrides_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_THREADS", "3")
    monkeypatch.setenv("METER_TYPES", '["electricity", "steam"]')

    settings = read_settings()

    assert settings.worker_threads == 3
    assert settings.meter_types == ("electricity", "steam")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WORKER_THREADS", "0"), ("DEBUG", "maybe"), ("LOG_FORMAT", "xml"), ("METER_TYPES", "water")],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(WrongSetting) as refused:
        read_settings()
    assert variable.lower() in str(refused.value).lower()


def test_the_table_in_readme_is_the_one_made_from_the_settings() -> None:
    assert settings_table() in Path(PROJECT_DIR / "README.md").read_text(encoding="utf-8")
