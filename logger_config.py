"""Logging for scripts: ``from logger_config import get_logger``.

Configures console and file once, from ``DEBUG``, ``LOG_FORMAT`` and ``LOG_DIR``; see
``energy_forecasting/logs.py`` for the format.
"""

from energy_forecasting import bootstrap
from energy_forecasting.logs import get_logger

__all__ = ["get_logger", "setup_logging"]


def setup_logging() -> None:
    """Configure console and file logs for this process and the ones it starts."""
    bootstrap.start_logging(bootstrap.settings())
