"""Log lines: the contract's format, one line per event, no secrets, one file per run."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from energy_forecasting.logs import LOG_FILE_VARIABLE, configure_logging

LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| (INFO    |WARNING |ERROR   ) \| \S[^|]{19,} \| [^|]+"
    r"( \| (\w+=\S.*)+)?$"
)


@pytest.fixture(autouse=True)
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(LOG_FILE_VARIABLE, "")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def logged(folder: Path) -> str:
    (log_file,) = folder.glob("energy_forecasting_*.log")
    return log_file.read_text(encoding="utf-8")


def test_a_line_has_the_documented_form(tmp_path: Path) -> None:
    log_file = configure_logging(log_dir=tmp_path)
    with structlog.contextvars.bound_contextvars(task_id="abc123", meter_id="meter_001"):
        structlog.get_logger("task.train_model").info("Starting model training task")

    line = logged(tmp_path).strip()
    assert log_file is not None
    assert re.fullmatch(r"energy_forecasting_\d{8}_\d{6}\.log", log_file.name)
    assert LINE.match(line)
    assert line.endswith(
        "| INFO     | task.train_model     | Starting model training task "
        "| meter_id=meter_001 task_id=abc123"
    )


def test_a_line_break_in_a_value_cannot_forge_a_line(tmp_path: Path) -> None:
    configure_logging(log_dir=tmp_path)
    structlog.get_logger("api").info("Request", path="/x\n2024-01-01 00:00:00 | INFO | forged")

    assert len(logged(tmp_path).splitlines()) == 1


def test_secrets_are_masked(tmp_path: Path) -> None:
    configure_logging(log_dir=tmp_path)
    structlog.get_logger("api").info("Connecting", influx_token="hunter2", password="hunter2")  # noqa: S106

    assert "hunter2" not in logged(tmp_path)


@pytest.mark.parametrize("kept", [64, 20, 1])
def test_the_secret_of_an_api_key_is_masked_wherever_it_stands(tmp_path: Path, kept: int) -> None:
    secret = ("5ec4e7" * 11)[:64]
    key = f"ef_0a1b2c3d_{secret[:kept]}"  # a path in a log is cut off
    configure_logging(log_dir=tmp_path)
    log = structlog.get_logger("api")

    log.info(f"Event {key}", path=f"/x/{key}", headers=[("x-api-key", key)])  # noqa: G004
    logging.getLogger("some.library").warning("Header %s", key.upper())
    try:
        int(key)
    except ValueError:
        log.exception("Failed")

    masked = logged(tmp_path).lower()
    assert masked.count("ef_0a1b2c3d_***") == masked.count("ef_0a1b2c3d_") == 5


def test_libraries_log_in_the_same_form(tmp_path: Path) -> None:
    configure_logging(log_dir=tmp_path)
    logging.getLogger("some.library").warning("Attention: %s", "please")

    assert LINE.match(logged(tmp_path).strip())


def test_a_traceback_follows_its_line(tmp_path: Path) -> None:
    configure_logging(log_dir=tmp_path)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger("task").exception("Failed")

    first, *rest = logged(tmp_path).splitlines()
    assert LINE.match(first)
    assert rest[-1].startswith("ValueError: invalid literal")


def test_a_child_process_appends_to_its_services_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_file = configure_logging(log_dir=tmp_path)
    monkeypatch.setenv(LOG_FILE_VARIABLE, str(service_file))

    assert configure_logging(log_dir=tmp_path) == service_file


def test_two_services_started_in_one_second_have_a_file_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = configure_logging(log_dir=tmp_path)
    monkeypatch.setenv(LOG_FILE_VARIABLE, "")

    assert configure_logging(log_dir=tmp_path) != first


def test_old_files_are_pruned(tmp_path: Path) -> None:
    for day in range(10, 16):
        (tmp_path / f"energy_forecasting_202401{day}_000000.log").touch()
    configure_logging(log_dir=tmp_path, files_kept=3)

    kept = sorted(path.name for path in tmp_path.glob("*.log"))
    assert len(kept) == 3
    assert kept[0] == "energy_forecasting_20240114_000000.log"


def test_a_folder_that_cannot_be_written_does_not_stop_the_service(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()

    assert configure_logging(log_dir=occupied / "logs") is None
