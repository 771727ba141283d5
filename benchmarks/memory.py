"""How much memory this process has held, as the kernel counts it; Linux only."""

import math
from pathlib import Path

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # see proc(5), clear_refs
_KB_PER_MB = 1024


def forget_peak() -> None:
    """Begin a new peak at the present memory."""
    reset = _PROCESS / "clear_refs"
    if reset.exists():
        reset.write_text(_RESET_PEAK)


def memory_mb(field: str) -> float:
    """Read a field of the kernel's account of this process; NaN where there is none."""
    account = _PROCESS / "status"
    if not account.exists():
        return math.nan
    fields = dict(line.split(":", 1) for line in account.read_text().splitlines())
    return int(fields[field].split()[0]) / _KB_PER_MB
