"""Timers over a FIFO: workers are processes of this machine, known by their pid, that know no more than a path."""

import errno
import json
import logging
import os
import signal as signals
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timersim.api import TimerClient, TimerRequest
from timersim.clock import Clock, SystemClock
from timersim.debug_info_logging import log_debug_info_for_expired_timers
from timersim.fifo import LONGEST_LINE, FifoRequestQueue
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper

__all__ = ["FileTimerClient", "FileTimerRequest", "FileTimerServer"]

logger = logging.getLogger(__name__)

VERSION = 1

OPEN_ATTEMPTS, OPEN_INTERVAL = 10, 0.1
"""How often a client looks for the server before it gives up, and how many seconds apart."""

FULL_ATTEMPTS, FULL_INTERVAL = 1_000, 0.01
"""How often a client finds the FIFO full before it gives up, and how many seconds apart."""


class FileTimerRequest(TimerRequest):
    """A request as a line of the FIFO. `signal` is what its worker is to be reaped with; 0 and below: nothing.

    >>> FileTimerRequest(7, "load", 60.0, signal=9).to_json()
    '{"version": 1, "pid": 7, "scope_id": "load", "expiration_time": 60.0, "signal": 9}'
    """

    __slots__ = ["version", "signal"]  # noqa: RUF023 - torch's order

    def __init__(self, worker_pid: int, scope_id: str, expiration_time: float, signal: int = 0) -> None:
        super().__init__(worker_pid, scope_id, expiration_time)
        self.version = VERSION
        self.signal = signal

    @property
    def worker_pid(self) -> int:
        """The worker's pid."""
        pid: int = self.worker_id
        return pid

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FileTimerRequest):
            return super().__eq__(other) and self.version == other.version and self.signal == other.signal
        return False

    __hash__ = None

    def __repr__(self) -> str:
        values = self.worker_id, self.scope_id, self.expiration_time, self.signal
        return f"FileTimerRequest({', '.join(map(repr, values))})"

    def to_json(self) -> str:
        """Returns the line, without its newline."""
        return json.dumps(
            {
                "version": self.version,
                "pid": self.worker_pid,
                "scope_id": self.scope_id,
                "expiration_time": self.expiration_time,
                "signal": self.signal,
            }
        )


class FileTimerClient(TimerClient):
    """The client of `FileTimerServer`, whose FIFO is at `file_path`; the worker is to be reaped with `signal`.

    `acquire` returns when the request is in the FIFO, and one that raised has left nothing there. While the FIFO
    is full it waits; where no server has it open it looks for one for a second, then raises BrokenPipeError.
    """

    def __init__(self, file_path: str, signal: int = signals.SIGKILL, *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._file_path = file_path
        self.signal = signal

    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""
        self._send_request(FileTimerRequest(os.getpid(), scope_id, expiration_time, self.signal))

    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`."""
        self._send_request(FileTimerRequest(os.getpid(), scope_id, -1))

    def _send_request(self, request: FileTimerRequest) -> None:
        line = request.to_json().encode() + b"\n"
        if len(line) > LONGEST_LINE:
            raise RuntimeError(f"a request has at most {LONGEST_LINE} bytes as a line: {len(line)} for {request!r:.80}")
        fd = self._open()
        try:
            self._write(fd, line)
        finally:
            os.close(fd)

    def _open(self) -> int:
        """Opens the FIFO without blocking, which fails while nobody reads it."""
        for attempt in range(OPEN_ATTEMPTS):
            if attempt:
                self.clock.sleep(OPEN_INTERVAL)
            try:
                return os.open(self._file_path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                reason = error
        what = f"could not send the request, since no FileTimerServer reads it: {reason.strerror}"
        raise BrokenPipeError(errno.EPIPE, what, self._file_path)

    def _write(self, fd: int, line: bytes) -> None:
        """Writes the line in one piece, as the kernel does with so short a one, once there is room for it."""
        for _ in range(FULL_ATTEMPTS):
            try:
                os.write(fd, line)
            except BlockingIOError:
                self.clock.sleep(FULL_INTERVAL)
            else:
                return
        raise BrokenPipeError(errno.EAGAIN, "could not send the request, since the FIFO stays full", self._file_path)


class FileTimerServer(PidTimerServer):
    """The watchdog of `FileTimerClient`s, with a FIFO at `file_path`.

    `run_id` names the run in the log; `log_event(name, request)` is told what happens. A worker is reaped with the
    signal of its earliest expired timer that has one, and with SIGKILL where that did not end it; a worker of
    whose expired timers none has one loses them and lives. Unlike torch's this server never ends its own process.
    What stays with this wire: whoever may write the FIFO may speak for any pid; requests carry no sequence, so a
    late release disarms a newer timer.

    >>> import tempfile
    >>> server = FileTimerServer(tempfile.mkdtemp() + "/fifo", "job 7", max_interval=60)
    >>> server.start(); server.stop()
    """

    def __init__(
        self,
        file_path: str,
        run_id: str,
        max_interval: float = 10,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        log_event: Callable[[str, FileTimerRequest | None], None] | None = None,
        *,
        clock: Clock | None = None,
        reaper: ProcessReaper | None = None,
    ) -> None:
        self._fifo = FifoRequestQueue(file_path, _parse, clock=clock)
        super().__init__(self._fifo, max_interval, daemon, clock=clock, reaper=reaper)
        self._file_path = file_path
        self._run_id = run_id
        self._report = log_event
        self._signals: dict[tuple[int, str], int] = {}
        self._request_count = 0
        self._last_progress_time = int(self._clock.time())
        self._fifo.make()

    def start(self) -> None:
        """Starts the watchdog; nothing changes where it runs already."""
        if not Path(self._file_path).exists():
            self._fifo.make()
        self._fifo.fileno()
        super().start()
        self._log_event("watchdog started", None)

    def stop(self) -> None:
        """Stops the watchdog and takes the FIFO away; when this returns, nothing is reaped any more.

        What had arrived is known when it is started again.
        """
        super().stop()
        self._fifo.close()
        self._log_event("watchdog stopped", None)

    def run_once(self) -> None:
        """Stops the watchdog after one more pass over what has arrived, if it runs, and takes the FIFO away."""
        if self._watchdog_thread is not None:
            super().stop()
            self._fifo.wake()
            self._stop_signaled = False
            self._run_watchdog()
            self._stop_signaled = True
        self._fifo.close()

    @staticmethod
    def is_process_running(pid: int) -> bool:
        """Returns whether there is a process with this pid, a zombie included."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def get_last_progress_time(self) -> int:
        """Returns when the last pass ended, in whole seconds since the epoch; now, while none is running."""
        return self._last_progress_time if self._watchdog_thread is not None else int(self._clock.time())

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Takes each request in order; one that cannot be registered costs itself alone."""
        self._request_count += len(timer_requests)
        super().register_timers(timer_requests)

    def clear_timers(self, worker_pids: set[int]) -> None:
        """Forgets every timer of these workers, and what tied them to their pids."""
        for pid in worker_pids:
            for scope_id in self._timers.scopes(pid):
                self._signals.pop((pid, scope_id), None)
        super().clear_timers(worker_pids)

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Returns by worker the timers with an expiration of `deadline` or earlier, a wall-clock instant."""
        return {
            pid: [self._with_signal(timer) for timer in timers]
            for pid, timers in super().get_expired_timers(deadline).items()
        }

    def _take_leave(self) -> None:
        self.register_timers(self._take_arrived())

    def _run_watchdog(self) -> None:
        super()._run_watchdog()
        self._last_progress_time = int(self._clock.time())

    def _reap_expired(self, expired: dict[Any, list[TimerRequest]]) -> set[Any]:
        timers = {pid: [t for t in each if isinstance(t, FileTimerRequest)] for pid, each in expired.items()}
        news = timers.keys() - self._retries.keys()  # told once, not at each pass until the worker is gone
        lines = {pid: [timer.to_json() for timer in timers[pid]] for pid in timers if pid in news}
        log_debug_info_for_expired_timers(self._run_id, lines)
        armed = {pid: next((t for t in each if t.signal > 0), None) for pid, each in timers.items()}
        for pid, timer in armed.items():
            if pid in news:
                self._log_event("timer expired", timer or timers[pid][0])
            if timer is None:
                logger.info("No signal specified with worker=[%s]. Do not reap it.", pid)
                for spent in timers[pid]:
                    self._disarm(spent)
        self._next_signals = {pid: timer.signal for pid, timer in armed.items() if timer is not None}
        gone = super()._reap_expired({pid: expired[pid] for pid in self._next_signals})
        for pid in gone:
            self._log_event("kill worker process", armed[pid])
        return gone

    def _reap_worker(self, worker_id: int, signal: int | None = None) -> bool:
        if signal is None:
            signal = signals.SIGKILL if worker_id in self._retries else self._next_signals[worker_id]
        return self._reaper(worker_id, signal)

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        super()._arm(request, expiration)
        number = getattr(request, "signal", 0)  # torch's class has one, too
        self._signals[request.worker_id, request.scope_id] = number if isinstance(number, int) else 0

    def _disarm(self, request: TimerRequest) -> None:
        super()._disarm(request)
        self._signals.pop((request.worker_id, request.scope_id), None)

    def _with_signal(self, timer: TimerRequest) -> FileTimerRequest:
        number = self._signals.get((timer.worker_id, timer.scope_id), 0)
        return FileTimerRequest(timer.worker_id, timer.scope_id, timer.expiration_time, number)

    def _log_event(self, name: str, request: FileTimerRequest | None) -> None:
        """Tells the callback; one that raises is reported, and harms nothing else."""
        if self._report is None:
            return
        try:
            self._report(name, request)
        except (Exception, SystemExit):
            logger.exception("log_event raised at %r", name)


def _parse(value: dict[str, Any]) -> FileTimerRequest:
    """Makes a request of a line; raises ValueError for another version and for a signal that is no number."""
    if value.get("version", VERSION) != VERSION:
        raise ValueError(f"the version is {VERSION}: {value['version']!r:.80}")
    number = value["signal"]
    if isinstance(number, bool) or not isinstance(number, int) or number >= signals.NSIG:
        raise ValueError(f"no signal: {number!r:.80}")
    return FileTimerRequest(value["pid"], value["scope_id"], value["expiration_time"], number)
