"""Makes the virtual environment: ``python environment.py [--dev]``, as ``make install`` calls it.

It runs by path on the system's Python before anything is installed, so it uses the standard
library alone, and older Pythons can read it, if only to be told that they are too old. It does
not choose versions: the lock files do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
VENV = PROJECT / ".venv"

#: TensorFlow's builds exist from the first version up to, not including, the second.
PYTHON_FROM, PYTHON_BELOW = (3, 11), (3, 14)
#: TensorFlow and its company unpacked, and their downloads.
LEAST_FREE_BYTES = 4_000_000_000

_PRODUCT = ("requirements.txt", "requirements.lock")
_DEVELOPMENT = ("requirements-dev.txt", "requirements-dev.lock")
_NETWORK_WORDS = (
    "connectionerror",
    "connecttimeout",
    "readtimeout",
    "name resolution",
    "name or service not known",
    "network is unreachable",
    "connection refused",
    "proxyerror",
    "sslerror",
)
_LINES_KEPT = 200


class Refusal(Exception):
    """The environment cannot be made; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Make or complete the environment; return the exit code."""
    for stop_signal in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(stop_signal, signal.default_int_handler)
    try:
        install(is_development="--dev" in arguments)
    except Refusal as refusal:
        sys.stderr.write(f"\n{refusal}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInstallation stopped; `make install` takes it up again.\n")
        return 130
    return 0


def install(*, is_development: bool) -> None:
    """Bring the environment to what the lock file says; at once when it is there already."""
    sources = _DEVELOPMENT if is_development else _PRODUCT
    stamp = VENV / ("installed-development" if is_development else "installed-product")
    if stamp.is_file() and stamp.read_text() == _digest(sources) and _is_usable():
        return
    try:
        if not _has_pip():
            check_python(sys.version_info[:2])
            check_room(shutil.disk_usage(str(PROJECT)).free)
            _say("Making the environment in .venv")
            _run_or_refuse([sys.executable, "-m", "venv", "--clear", str(VENV)])
        if stamp.is_file():
            stamp.unlink()
        _say(f"Installing the packages of {sources[1]}")
        requirements, constraints = (str(PROJECT / name) for name in sources)
        pip = [str(_python()), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        _run_or_refuse([*pip, "install", "--compile", "-r", requirements, "-c", constraints])
        _run_or_refuse(
            [str(_python()), "-m", "compileall", "-q", str(PROJECT / "energy_forecasting")]
        )
        stamp.write_text(_digest(sources))
    except OSError as error:
        raise Refusal(f"The environment cannot be made: {error}.") from error
    _say("The environment is ready")


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that TensorFlow has no build for, or one without its own parts."""
    if not PYTHON_FROM <= version < PYTHON_BELOW:
        raise Refusal(
            f"Python {_dotted(version)} cannot run this: 3.11, 3.12 or 3.13 is needed. Install one "
            "and run `make install PYTHON=/path/to/python3.11`."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Refusal(
            "This Python cannot make virtual environments. On Debian and Ubuntu: "
            f"`apt install python{_dotted(version)}-venv`, then `make install`."
        )


def check_room(free_bytes: int) -> None:
    """Refuse a disk that the packages would fill."""
    if free_bytes < LEAST_FREE_BYTES:
        raise Refusal(
            f"The disk of {PROJECT} has {free_bytes / 1e9:.1f} GB free; "
            f"{LEAST_FREE_BYTES / 1e9:.0f} GB are needed, mostly for TensorFlow."
        )


def explain(exit_code: int, output: str) -> str:
    """Say in a sentence why a step of the installation failed."""
    lowered = output.lower()
    if "no space left on device" in lowered:
        return "The disk is full. Free about 4 GB, then `make install` takes it up again."
    if any(word in lowered for word in _NETWORK_WORDS):
        return (
            "The package index cannot be reached. Check the network (or proxy: HTTPS_PROXY, "
            "PIP_INDEX_URL), then `make install` takes it up again."
        )
    if "no matching distribution" in lowered:
        return (
            "A package has no build for this Python and system; the lines above name it. "
            "Linux, macOS and Windows on common processors with Python 3.11 to 3.13 have one."
        )
    return f"The installation failed (exit code {exit_code}); the lines above say why."


def _run_or_refuse(command: list[str]) -> None:
    """Run a step of the installation, showing what it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - commands of this file
        command, env=environment, stderr=subprocess.PIPE, universal_newlines=True
    ) as process:
        try:
            for line in process.stderr or ():
                sys.stderr.write(line)
                lines = [*lines[-_LINES_KEPT:], line]
            exit_code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            raise
    if exit_code:
        raise Refusal(explain(exit_code, "".join(lines)))


def _python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _is_usable() -> bool:
    """Tell whether the environment's Python is there; it goes when the system's is removed."""
    return os.access(str(_python()), os.X_OK)


def _has_pip() -> bool:
    """Tell whether an environment was made to its end, so that packages can be added."""
    probe = [str(_python()), "-m", "pip", "--version"]
    if not _is_usable():
        return False
    answer = subprocess.run(  # noqa: S603 - our environment's Python
        probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return answer.returncode == 0


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _digest(names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}...\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
