"""A disk that takes no more, for one process: its files may not grow."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Let every write to a file fail until the block ends (not on Windows)."""
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
