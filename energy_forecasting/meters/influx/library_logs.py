"""Keeps the libraries below from logging what a server sent: it may be our own headers.

urllib3 repeats header lines that it cannot read, with a traceback; influxdb-client repeats whole
answers, at level DEBUG of the root logger. What matters of both stands in our errors, redacted.
"""

import logging


def keep_answers_out_of_logs() -> None:
    """Install the filters; doing so again changes nothing."""
    logging.getLogger("urllib3.connection").addFilter(_without_header_lines)
    logging.getLogger().addFilter(_is_no_answer)


def _without_header_lines(record: logging.LogRecord) -> bool:
    if "parse headers" in str(record.msg):
        record.msg, record.args, record.exc_info = "Headers cannot be read", (), None
    return True


def _is_no_answer(record: logging.LogRecord) -> bool:
    return "Cannot parse error response" not in str(record.msg)
