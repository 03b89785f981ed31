"""The server of a run as a simulated process: it starts, stops, pauses, crashes and fails, and each is recorded."""

from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from greenlet import GreenletExit

from timersim.fakes.clock import VirtualClock
from timersim.fakes.patch import PatchError
from timersim.fakes.run_workers import RunWorkers
from timersim.fakes.servers import Server
from timersim.fakes.tasks import Call, TaskGroup
from timersim.lab.record import (
    Attempted,
    Instant,
    Left,
    Recorder,
    ServerCrashed,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    rounded,
)
from timersim.timer_table import TimerTable


class ServerControl:
    """Drives the server of a run, whose tasks are of `group`. `make(group)` makes the next one where it crashed."""

    def __init__(
        self,
        recorder: Recorder,
        clock: VirtualClock,
        group: TaskGroup,
        workers: RunWorkers,
        make: Callable[[TaskGroup], Server],
    ) -> None:
        self._recorder = recorder
        self._workers = workers
        self._clock = clock
        self._make = make
        self._group = group
        group.on_error = self._on_error
        self._server: Server | None = None
        self._orders: deque[Callable[[], None]] = deque()
        self._is_obeying = False
        self._is_stopped = True
        self._has_failed = False
        self._refusal: PatchError | None = None
        self._paused_until: Instant = 0
        self._resume: Call | None = None
        self._pauses: dict[str, deque[int]] = {}
        self._let_go: tuple[Instant, str] | None = None
        self.gone: Callable[[], None] = lambda: None
        """Is called when the server has gone, with what it had read and not registered."""

    @property
    def is_down(self) -> bool:
        """Whether the server has crashed, and there is no other yet."""
        return self._server is None

    def begin(self, server: Server) -> None:
        """Starts the server for the first time."""
        self._server = server
        self.start()
        self._clock.advance(0)

    def start(self) -> None:
        """Has `start` called, after what was asked for before; of a new server where the last one has crashed."""
        self._order(self._start)

    def stop(self) -> None:
        """Has `stop` called, after what was asked for before."""
        if self._server is not None:
            self._order(self._stop)

    def crash(self) -> None:
        """Kills the server: nothing of it unwinds, and its timers are forgotten."""
        if self._server is None:
            return
        group = self._group
        self._forget()
        self._clock.kill(group, mute=True)

    def end_itself(self) -> NoReturn:
        """Ends the server by a signal that it sent to its own process, in the task that sent it.

        Who was reaped in the same pass is why; where nobody was, the watching has ended by mistake.
        """
        if not any(
            event.outcome == "reaped" for event in self._recorder.of_this_pass() if isinstance(event, Attempted)
        ):
            self._recorder.add(ServerFailed, "it ended its own process, and had reaped nobody")
        group = self._group
        self._forget()
        self._clock.call_later(0, lambda: self._clock.kill(group, mute=True))
        group.muted = True
        raise GreenletExit

    def _forget(self) -> None:
        """Records that the server has gone, with all that it knew and was told."""
        self._recorder.add(ServerCrashed)
        self.gone()
        self._group = TaskGroup("server", self._on_error)
        self._server = None
        self._is_stopped = True
        self._is_obeying = False
        self._orders.clear()
        self._pauses.clear()
        self._paused_until = self._recorder.now()
        if self._resume is not None:
            self._resume.cancel()

    def pause(self, ticks: int, within: str = "") -> None:
        """Stops the server's tasks for `ticks`; a pause within a pause ends with the later one."""
        self._paused_until = max(self._paused_until, rounded(self._recorder.now() + ticks))
        self._recorder.add(ServerPaused, self._paused_until, within)
        self._clock.pause(self._group)
        if self._resume is not None:
            self._resume.cancel()
        group = self._group
        seconds = self._paused_until - self._recorder.now()
        self._resume = self._clock.call_later(seconds, lambda: self._clock.resume(group))

    def pause_in_pass(self, at: str, ticks: int) -> None:
        """Has the server paused for `ticks` when it comes to this point of a pass next."""
        self._pauses.setdefault(at, deque()).append(ticks)

    def reached(self, point: str) -> None:
        """Is called by the server's task at a point of a pass; does not return before the server may go on."""
        pauses = self._pauses.get(point)
        now = self._recorder.now(), point
        if pauses and now != self._let_go and self._clock.current is not None:
            self.pause(pauses.popleft(), point)
            self._clock.sleep(0)
            self._let_go = self._recorder.now(), point

    def finish(self, limit: float) -> None:
        """Stops the server, `limit` seconds at most, and records what is left of it.

        Raises PatchError where it was told that it can't live in virtual time: that is no mistake of a server.
        """
        was_stopped = self._is_stopped
        self._pauses.clear()
        self._clock.resume(self._group)
        if not was_stopped and not self._has_failed and not is_watching(self._server):
            self._recorder.add(ServerFailed, "it had ended its watchdog by itself")
        entries = len(self._timers_of_the_dead()) if not was_stopped and self._group.tasks else 0
        if not was_stopped:
            assert self._server is not None
            self._order(self._server.stop)
        end = self._recorder.now() + limit
        while self._group.tasks and self._recorder.now() < end and self._clock.step():
            pass
        for task in self._group.tasks:
            self._recorder.add(Left, f"thread {task.name!r}")
        if entries:
            self._recorder.add(Left, f"table entries of the dead ({entries})")
        if self._refusal is not None:
            raise self._refusal

    def _timers_of_the_dead(self) -> list[tuple[Any, ...]]:
        """Returns the keys (worker, scope) in the server's table whose worker has ended."""
        timers = getattr(self._server, "_timers", ())
        keys = list(timers) if isinstance(timers, TimerTable | dict) else []
        lives = [key for key in keys if isinstance(key, tuple) and self._workers.life(key[0]) is not None]
        return [key for key in lives if not self._workers.is_alive(key[0])]

    def _on_error(self, task: object, error: BaseException) -> None:
        self._has_failed = True
        if isinstance(error, PatchError):
            self._refusal = error
        self._recorder.add(ServerFailed, f"{type(error).__name__}: {_without_paths(error)}")

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        if not self._is_obeying:
            self._is_obeying = True
            with self._clock.group(self._group):
                self._clock.spawn(self._obey, name="server control")

    def _obey(self) -> None:
        try:
            while self._orders:
                self._orders.popleft()()
        finally:
            self._is_obeying = False

    def _start(self) -> None:
        self._is_stopped = False
        if self._server is None:
            self._server = self._make(self._group)
        self._recorder.add(ServerStarted)
        self._server.start()

    def _stop(self) -> None:
        assert self._server is not None
        self._is_stopped = True
        self._recorder.add(ServerStopping)
        self._server.stop()
        self._recorder.add(ServerStopped)


def _without_paths(error: BaseException) -> str:
    """Returns what an error says, less the path of a file, which differs from run to run."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def is_watching(server: Any) -> bool:
    """Returns whether a server that keeps its watchdog as timersim's and torch's do, as a task or a thread, has one."""
    watchdog = getattr(server, "_watchdog_thread", None)
    if watchdog is None:
        return True
    return bool(watchdog.is_alive() if hasattr(watchdog, "is_alive") else watchdog.alive)
