"""Files that a command writes: whether one can be written is seen before a long run, and what fails has its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timersim.backends.names import BackendError


def check_writable(path: Path, what: str = "report") -> None:
    """Raises BackendError where `path` can't be written: before a long run rather than after it."""
    with writing(path, what):
        is_new = not path.exists()
        path.open("a", encoding="utf-8").close()
        if is_new:
            path.unlink()


@contextmanager
def writing(path: Path, what: str = "report") -> Iterator[None]:
    """Makes what the system refuses in the block a BackendError, which says what was to be written, and where.

    >>> with writing(Path("/dev/full")), open("/dev/full", "w") as file:
    ...     _ = file.write("all")
    ...     file.flush()
    Traceback (most recent call last):
    timersim.backends.names.BackendError: the report can't be written to /dev/full: No space left on device
    """
    try:
        yield
    except OSError as error:
        raise BackendError(f"the {what} can't be written to {path}: {error.strerror}") from None
