"""Makes the API end soon after SIGTERM or Ctrl-C, whatever its clients and stores do.

Left to itself, uvicorn waits without limit for open requests, and Python for threads that hang in
a store. It serves uvicorn alone: under another server that server's own limits hold. A request
that is cut off was refused or done, never half done: an admitted task without an answer is in its
record, and asking again returns the same task.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator

import structlog
import uvicorn

#: What open requests get, unless ``--timeout-graceful-shutdown`` says otherwise.
GRACE_S = 5
#: Beyond the grace: for the application to close, and for threads to end.
TEARDOWN_S = 3.0
POLL_S = 0.25

logger = structlog.get_logger("api")


@contextlib.contextmanager
def timely_end() -> Iterator[None]:
    """While entered, see that the process ends in time once it is told to.

    Enter it before anything else listens to SIGTERM: it knows the server by its listening.
    """
    server = _serving_uvicorn()
    if server is None:
        yield
        return
    if server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = GRACE_S
    threading.Thread(target=_end_in_time, args=(server,), daemon=True, name="timely end").start()
    yield


def _serving_uvicorn() -> uvicorn.Server | None:
    """Return the server that runs this application: it has taken SIGTERM over by now."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


def _end_in_time(server: uvicorn.Server) -> None:
    while not server.should_exit:
        time.sleep(POLL_S)
    time.sleep((server.config.timeout_graceful_shutdown or 0) + TEARDOWN_S)
    logger.error("The API did not end in time; what still hangs is cut off")
    logging.shutdown()
    os._exit(1)
