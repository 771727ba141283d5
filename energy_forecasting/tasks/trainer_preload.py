"""Imports what a trainer needs, once, in the forkserver from which trainers are forked.

TensorFlow's native code greets on standard error whatever its log level says, so standard error
is closed to it meanwhile; a failing import still raises. The worker never imports this module.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


logging.getLogger("absl").setLevel(logging.ERROR)  # warns at each .h5 that it is an old format

with _native_stderr_silenced():
    from energy_forecasting.forecasting.training import train
    from energy_forecasting.forecasting.warm_up import warm_up
    from energy_forecasting.registry.artifact import write_card
    from energy_forecasting.tasks.champion_gate import gate_of

__all__ = ["gate_of", "train", "warm_up", "write_card"]
