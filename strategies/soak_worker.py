"""The worker of a soak: a process that keeps one backend, and runs batches of schedules on it."""

import json
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from ctypes import CDLL
from multiprocessing import get_context, resource_tracker
from multiprocessing.util import Finalize
from threading import Lock
from typing import Any

from timersim.backends.rack import from_spec
from timersim.lab.experiment import Backend
from timersim.strategies.search import tally
from timersim.strategies.tally import Tally

PR_SET_PDEATHSIG = 1

_kept: dict[tuple[int, str], Backend] = {}
_one_at_a_time = Lock()
"""An executor may run batches in several threads of a process; virtual time has one."""


def run_batch(spec: Mapping[str, Any], seed: int, begin: int, end: int) -> Tally:
    """Runs the schedules from number `begin` to before `end` on the backend of this process, and tallies them."""
    with _one_at_a_time:
        return tally(_backend(spec), seed, range(begin, end))


def _backend(spec: Mapping[str, Any]) -> Backend:
    """Returns the backend that this process keeps: the one last asked for, closed when the process ends."""
    key = os.getpid(), json.dumps(dict(spec), sort_keys=True)
    if key not in _kept:
        for pid, other in list(_kept):
            backend = _kept.pop((pid, other))
            if pid == key[0]:
                backend.close()
        _kept[key] = from_spec(spec)
        Finalize(None, _kept[key].close, exitpriority=1)
    return _kept[key]


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Yields an executor over so many processes; at the end of the block they have ended.

    An interrupt doesn't reach them, but for a second one, which ends them at once; nor do they outlive this process.
    """
    resource_tracker.ensure_running()
    executor = _Shielded(jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))
    try:
        yield executor
    finally:
        try:
            executor.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            executor.kill()
            executor.shutdown(cancel_futures=True)
            raise


class _Shielded(ProcessPoolExecutor):
    """Starts its processes, as something is submitted, with interrupts held back: what they inherit."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def kill(self) -> None:
        """Ends its processes at once, and no others of this process."""
        for process in list((self._processes or {}).values()):
            process.kill()


def _begin(parent: int) -> None:
    """Lets this process end with its parent, and keeps what servers log from standard error."""
    with suppress(OSError, AttributeError):
        CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    logging.getLogger("torch").addHandler(logging.NullHandler())
