"""Imports what a trainer needs, once, in the forkserver from which trainers are forked.

TensorFlow's native code greets on standard error whatever its log level says, so standard error
is closed to it meanwhile; a failing import still raises. The worker never imports this module.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    from energy_forecasting.forecasting.young.pooled_base import PooledBase, StoreBase
    from energy_forecasting.forecasting.young.store_base_training import learn_store_base
    from energy_forecasting.registry.artifact import write_card
    from energy_forecasting.registry.base_registry import read_base, write_base
    from energy_forecasting.tasks.champion_gate import gate_of
    from energy_forecasting.tasks.network_file import write_network

__all__ = [
    "gate_of",
    "learn_store_base",
    "read_store_base",
    "train",
    "warm_up",
    "write_base",
    "write_card",
    "write_network",
]


def read_store_base(path: Path) -> StoreBase:
    """Read a base that the store's meters have taught."""
    card, tables = read_base(path)
    return StoreBase(card=card, base=PooledBase.from_arrays(tables))
