"""How much memory a process has to itself; what it shares with the forkserver does not count."""

import psutil


def private_memory_mb(pid: int) -> float:
    """Return the memory in MB that a process shares with nobody; 0.0 when it has ended."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - getattr(memory, "shared", 0)) / 2**20
