"""The server of a run in real time: started and stopped by a thread of its own, and what is left of it recorded."""

import queue
import threading
from typing import TYPE_CHECKING

from timersim.clock import SystemClock
from timersim.fakes.server_control import is_watching
from timersim.fakes.servers import Server
from timersim.lab.record import Left, Recorder, ServerFailed, ServerStarted, ServerStopped, ServerStopping

if TYPE_CHECKING:
    from collections.abc import Callable

STOP_LIMIT = 30.0
"""Seconds that a server may take to stop before it counts as left behind."""


class RealServer:
    """Makes the calls of a server in order, in a thread: one of them may wait, as `stop` does for a pass.

    Everything that happens is recorded under `lock`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.lock = threading.RLock()
        self._recorder = recorder
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._before = set(threading.enumerate())
        self._server: Server
        self._is_stopped = True
        self._failure: str | None = None

    def begin(self, server: Server) -> None:
        """Starts the server for the first time; returns when it was started."""
        self._server = server
        self._control = SystemClock().spawn(self._obey, name="server control")
        self.start()
        self._orders.join()

    @property
    def is_busy(self) -> bool:
        """Whether a call of the server has not returned."""
        return self._orders.unfinished_tasks > 0

    def start(self) -> None:
        """Has `start` called, after what was asked for before."""
        self._orders.put(self._start)

    def stop(self) -> None:
        """Has `stop` called, after what was asked for before."""
        self._orders.put(self._stop)

    def finish(self) -> None:
        """Stops the server, which must have gone on till now, and records what is left of it."""
        self._orders.put(self._end)
        self._orders.put(None)
        self._control.join(STOP_LIMIT)
        with self.lock:
            if self._failure is not None:
                self._recorder.add(ServerFailed, self._failure)
            for thread in threading.enumerate():
                if thread not in self._before:
                    self._recorder.add(Left, f"thread {thread.name!r}")

    def _obey(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                order()
            except Exception as error:  # recorded: what a server's own call raises is a verdict on it
                self._failure = f"{type(error).__name__}: {error}"
            finally:
                self._orders.task_done()

    def _start(self) -> None:
        with self.lock:
            self._is_stopped = False
            self._recorder.add(ServerStarted)
        self._server.start()

    def _stop(self) -> None:
        with self.lock:
            self._is_stopped = True
            self._recorder.add(ServerStopping)
        self._server.stop()
        with self.lock:
            self._recorder.add(ServerStopped)

    def _end(self) -> None:
        if not self._is_stopped and not is_watching(self._server):
            self._failure = self._failure or "it had ended its watchdog by itself"
        if not self._is_stopped:
            self._server.stop()
