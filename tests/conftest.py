"""What holds for the whole suite: it leaves nothing behind, neither processes nor threads, files nor folders."""

import multiprocessing
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from timersim.backends.leftovers import watch_leftovers

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

settings.register_profile("here", database=None, deadline=None)  # a busy machine takes its time
settings.load_profile("here")

_home = tempfile.TemporaryDirectory(prefix="timersim-")
set_hypothesis_home_dir(_home.name)


def pytest_configure() -> None:
    """Lets the processes that tests start be interrupted, also where the suite runs in a shell's background.

    There SIGINT is ignored, and what is ignored is inherited.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Takes away what Hypothesis wrote besides its database."""
    _home.cleanup()


_watch = ExitStack()
_left: list[str] = []


def pytest_sessionstart() -> None:
    """Notes what there is before the first test."""
    global _left
    _left = _watch.enter_context(watch_leftovers())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the session where anything outlives the last test."""
    _watch.close()
    if _left:
        print(f"\nleft behind by the suite: {', '.join(_left)}")  # noqa: T201 - where no report comes any more
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of its own, which starts a second sooner without nbmake."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:nbmake")
    return pytester


@pytest.fixture
def mp_queue() -> Iterator["Queue[Any]"]:
    """A real multiprocessing queue."""
    made: Queue[Any] = multiprocessing.get_context("spawn").Queue()
    yield made
    made.close()
    made.join_thread()
