"""Becomes another program that is told to stop when the launcher dies, even by ``kill -9``.

Run by path, before that program: ``python tether.py LAUNCHER_PID PROGRAM [ARGUMENT...]``. Linux
delivers the signal and keeps the request across ``exec``. Other systems have no such request:
there the program outlives a killed launcher, and the next start finds and stops it.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_NOT_FOUND = 127  # as shells say it


def main(launcher_pid: int, command: list[str]) -> int:
    """Replace this process by the command; return only when that is impossible."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - the other systems need not have it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A launcher that died before the request above sends no signal any more.
    if os.getppid() != launcher_pid:
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return _NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
