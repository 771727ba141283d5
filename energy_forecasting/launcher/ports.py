"""Free TCP ports on the loopback address.

A port found free can be taken a moment later: who listens on it must be ready to try another.
"""

import socket

LOOPBACK = "127.0.0.1"

_HIGHEST_PORT = 65535


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As servers do: a connection that has just been closed does not block its port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1)
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """Return a port that the system considers free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def free_port_from(preferred: int, *, tries: int = 100) -> int:
    """Return the first free port at or after the preferred one, else any free one."""
    candidates = range(preferred, min(preferred + tries, _HIGHEST_PORT + 1))
    return next((port for port in candidates if is_free(port)), None) or any_free_port()
