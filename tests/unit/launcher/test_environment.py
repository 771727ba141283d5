import subprocess
import sys
from pathlib import Path

import pytest

from energy_forecasting.launcher import environment
from energy_forecasting.launcher.environment import Refusal, check_python, check_room, explain


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project folder without dependencies, so that installing takes a second."""
    for name in ("requirements.txt", "requirements.lock"):
        (tmp_path / name).write_text("# nothing\n")
    (tmp_path / "energy_forecasting").mkdir()
    (tmp_path / "energy_forecasting" / "room.py").write_text("WORD = 1\n")
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    return tmp_path


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_with_builds_of_tensorflow_is_accepted(version: tuple[int, ...]) -> None:
    check_python(version)


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14)])
def test_a_python_without_builds_of_tensorflow_is_refused_by_name(
    version: tuple[int, ...],
) -> None:
    with pytest.raises(Refusal, match=rf"Python 3\.{version[1]} cannot run this: 3\.11"):
        check_python(version)


def test_a_python_without_the_venv_module_is_told_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(Refusal, match=r"apt install python3\.11-venv"):
        check_python((3, 11))


@pytest.mark.usefixtures("project")
def test_a_disk_that_the_packages_would_fill_is_refused() -> None:
    with pytest.raises(Refusal, match=r"has 1\.0 GB free; 4 GB are needed"):
        check_room(1_000_000_000)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("NewConnectionError: Temporary failure in name resolution", "cannot be reached"),
        ("ReadTimeoutError(HTTPSConnectionPool", "cannot be reached"),
        ("ERROR: No matching distribution found for tensorflow", "has no build for this Python"),
        ("something else", "exit code 2"),
    ],
)
def test_a_failed_installation_is_explained(output: str, told: str) -> None:
    assert told in explain(2, output)


def test_an_unreachable_index_is_not_mistaken_for_a_missing_build() -> None:
    output = "NewConnectionError: Network is unreachable\nERROR: No matching distribution found"

    assert "cannot be reached" in explain(1, output)


def test_installing_makes_an_environment_with_byte_code_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    environment.install(is_development=False)

    assert list((project / "energy_forecasting" / "__pycache__").glob("room.*.pyc"))
    assert "The environment is ready" in capfd.readouterr().out
    environment.install(is_development=False)
    assert capfd.readouterr().out == ""


def test_a_half_made_environment_is_made_anew(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)

    environment.install(is_development=False)

    assert "Making the environment" in capfd.readouterr().out


def test_a_failed_installation_is_not_taken_as_complete_the_next_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.install(is_development=False)
    (project / "requirements.txt").write_text("no-such-package-of-ours==1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    for _ in range(2):
        with pytest.raises(Refusal, match="has no build for this Python"):
            environment.install(is_development=False)
