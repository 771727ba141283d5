"""Logs: events with key-values, coloured on the console, plain in one file per run of a service.

The file's line format is a contract with operators' tools::

    2024-01-15 10:30:00 | INFO     | task.train_model     | Starting ... | meter_id=meter_001 ...

A service names its file in ``ENERGY_FORECASTING_LOG_FILE``, so the processes it starts append to
the same one. Secrets never reach a log: values whose key looks like one are masked, and so is the
secret of an API key wherever it stands, in a path or a traceback too.
"""

import logging
import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import colorlog
import structlog
from concurrent_log_handler import ConcurrentRotatingFileHandler
from structlog.typing import EventDict, Processor, WrappedLogger

LOG_FILE_VARIABLE = "ENERGY_FORECASTING_LOG_FILE"
FILE_PREFIX = "energy_forecasting_"
MAX_FILE_BYTES = 10 * 2**20
ROTATIONS_KEPT = 3

_LOGGER_WIDTH = 20
_SECRET_WORDS = ("token", "password", "secret", "api_key", "authorization")
#: The form of ``access.api_key``; a key that was cut off is masked as well.
_API_KEY = re.compile(r"(ef_[0-9a-f]{8}_)[0-9a-f]+", re.IGNORECASE)
_CONSOLE_COLOURS = {
    "DEBUG": "cyan",
    "INFO": "green",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold_red",
}


def configure_logging(
    *,
    log_dir: Path,
    debug: bool = False,
    console_format: Literal["console", "json"] = "console",
    files_kept: int = 20,
) -> Path | None:
    """Route structlog and standard logging to the console and the service's file.

    Returns:
        The log file; None when the folder cannot be written, which the console then says.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        _drop_duplicates,
        _mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    root.addHandler(_console(shared, console_format))
    log_file, fault = _try_file(root, shared, log_dir, files_kept)
    _quieten_libraries(debug=debug)
    if fault is not None:
        structlog.get_logger("logs").warning(
            "No log file: the folder cannot be written", folder=str(log_dir), error=str(fault)
        )
    return log_file


def _console(shared: list[Processor], console_format: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if console_format == "json":
        renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            )
        )
        return handler
    handler.setFormatter(_ColouredLineFormatter(shared))
    return handler


def _try_file(
    root: logging.Logger, shared: list[Processor], log_dir: Path, files_kept: int
) -> tuple[Path | None, OSError | None]:
    """Add the file's handler; a full or forbidden disk must not stop a service."""
    try:
        log_file = _service_file(log_dir, files_kept)
        handler = ConcurrentRotatingFileHandler(
            log_file,
            maxBytes=MAX_FILE_BYTES,
            backupCount=ROTATIONS_KEPT,
            encoding="utf-8",
            lock_file_directory=str(log_dir / ".locks"),
        )
    except OSError as fault:
        return None, fault
    handler.setFormatter(_line_formatter(shared))
    root.addHandler(handler)
    return log_file, None


def _service_file(log_dir: Path, files_kept: int) -> Path:
    named = os.environ.get(LOG_FILE_VARIABLE)
    if named:
        return Path(named)
    log_dir.mkdir(parents=True, exist_ok=True)
    older = sorted(log_dir.glob(f"{FILE_PREFIX}*.log"))
    for path in older[: max(len(older) - files_kept + 1, 0)]:
        for part in log_dir.glob(f"{path.name}*"):
            part.unlink(missing_ok=True)
    moment = datetime.now().astimezone()
    while True:
        log_file = log_dir / f"{FILE_PREFIX}{moment:%Y%m%d_%H%M%S}.log"
        try:
            log_file.touch(exist_ok=False)
        except FileExistsError:  # another service started within this second
            moment += timedelta(seconds=1)
            continue
        os.environ[LOG_FILE_VARIABLE] = str(log_file)
        return log_file


def _line_formatter(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render_line],
    )


class _ColouredLineFormatter(logging.Formatter):
    """Colours the file's line by level when the console is a terminal."""

    def __init__(self, shared: list[Processor]) -> None:
        super().__init__()
        self._plain = _line_formatter(shared)
        self._colours = colorlog.ColoredFormatter(
            "%(log_color)s%(message)s%(reset)s", log_colors=_CONSOLE_COLOURS, stream=sys.stderr
        )

    def format(self, record: logging.LogRecord) -> str:
        line = self._plain.format(record)
        shown = logging.makeLogRecord({"levelname": record.levelname, "msg": line})
        return self._colours.format(shown)


def render_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    r"""Render one event as a line; a traceback follows on lines of its own.

    >>> render_line(None, "", {"timestamp": "2024-01-15 10:30:00", "level": "info",
    ...                        "logger": "task.train_model", "event": "Starting", "task_id": "a"})
    '2024-01-15 10:30:00 | INFO     | task.train_model     | Starting | task_id=a'
    """
    event = dict(event)
    head = " | ".join(
        (
            str(event.pop("timestamp", "")),
            f"{str(event.pop('level', 'info')).upper():<8}",
            f"{event.pop('logger', ''):<{_LOGGER_WIDTH}}",
            _one_line(event.pop("event", "")),
        )
    )
    traceback = event.pop("exception", None)
    pairs = " ".join(f"{key}={_one_line(value)}" for key, value in sorted(event.items()))
    line = f"{head} | {pairs}" if pairs else head
    return f"{line}\n{traceback}" if traceback else line


def _one_line(value: object) -> str:
    """Escape line breaks and other control characters, which could forge a line."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _drop_duplicates(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's second rendering of the same message
    return event


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
        elif _API_KEY.search(text := str(value)):
            event[key] = _API_KEY.sub(r"\1***", text)
    return event


def _quieten_libraries(*, debug: bool) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # Requests are logged once, by our own middleware, with their id and duration.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for name in ("httpx", "httpcore", "watchfiles", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.WARNING)
    # Dramatiq's consumers complain every three seconds while Redis is away; the worker's heart
    # says it once.
    for name in ("training", "training.DQ", "training_batch", "training_batch.DQ"):
        consumer = logging.getLogger(f"dramatiq.worker.ConsumerThread({name})")
        consumer.addFilter(_is_no_connection_error)
    # Dramatiq logs each message's failure with a traceback; the pipeline says it once, typed.
    logging.getLogger("dramatiq").setLevel(logging.INFO if debug else logging.WARNING)


def _is_no_connection_error(record: logging.LogRecord) -> bool:
    return "connection error" not in str(record.msg)


def get_logger(name: str) -> Any:  # noqa: ANN401 - structlog's loggers are lazily typed proxies
    """Return a logger; ``name`` is dotted and short: ``task.train_model``, ``api.request``."""
    return structlog.get_logger(name)
