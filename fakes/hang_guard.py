"""The hang guard: in real time, it names the task that has not come back to the clock, and ends its turn.

Virtual time has one thread: who blocks outside of the clock, on a foreign lock, a socket or in a busy loop, blocks
the whole world. One thread in a process watches the clocks that run; it comes with the first and goes after the last.
"""

import linecache
import os
import signal
import sys
import threading
import time
from _thread import allocate_lock, start_new_thread
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Protocol

from timersim.fakes.tasks import VirtualTask

HANG_LIMIT = 10.0
"""How many real seconds a task may take for one turn; what is held has a limit of its own, HOLD_LIMIT."""

LOOK_EVERY = 0.5
"""Real seconds between two looks at the clocks that run."""

LINGER = 2.0
"""Real seconds without a run after which the guard goes."""

FRAMES = 3
"""How many of the innermost frames are named."""

_SECOND = 1_000_000_000


class HangError(RuntimeError):
    """A task blocks outside of the clock, and with it the whole world."""


class Watched(Protocol):
    """What the guard looks at: a clock's thread, the turn that it is in, and where it leaves its finding."""

    _thread: int
    _now: int
    _turned: int
    _fired: int
    _current: VirtualTask | None
    _running: bool
    _tasks: dict[VirtualTask, None]
    _hang: tuple[VirtualTask | None, HangError] | None

    def _is_held_by(self, task: VirtualTask | None) -> bool: ...


_Turn = tuple[int, ...]
"""What differs from one turn to the next."""


class _Sight:
    """A turn that was seen before, for how many real seconds, and after how many something is done about it."""

    __slots__ = ("accused", "due", "seconds", "turn")

    def __init__(self, turn: _Turn) -> None:
        self.turn = turn
        self.seconds = 0.0
        self.due = HANG_LIMIT
        self.accused = 0


class _Guard:
    def __init__(self) -> None:
        self.runs: list[Watched] = []
        self.begun: defaultdict[int, int] = defaultdict(int)
        self.alive = allocate_lock()
        self.end = allocate_lock()
        self.native_id = 0

    def start(self) -> None:
        """Starts the guard's thread, where there is none."""
        if self.alive.acquire(blocking=False):
            try:
                self.end = allocate_lock()
                self.end.acquire()
                start_new_thread(self.watch, ())  # not a threading.Thread: nobody's leftover, and nobody's to join
            except RuntimeError:  # the interpreter exits
                self.alive.release()

    def stop(self) -> None:
        """Ends the guard's thread, and waits until the kernel knows of it."""
        if self.alive.locked():
            self.end.release()
            if self.alive.acquire(timeout=1):
                self.alive.release()
            # The interpreter's thread is over; a fork is free of it once the kernel's is, some 10 us later.
            for _ in range(1_000):
                if not os.path.exists(f"/proc/self/task/{self.native_id}"):  # noqa: PTH110 - a Path costs as much again
                    break
                time.sleep(0.0001)

    def restart(self) -> None:
        """Goes on after a fork, in the parent."""
        if self.runs:
            self.start()

    def forget(self) -> None:
        """Begins anew in the child of a fork, which has one thread."""
        self.alive = allocate_lock()
        self.runs[:] = [clock for clock in self.runs if clock._thread == threading.get_ident()]
        self.restart()

    def watch(self) -> None:
        """Looks at the clocks that run until there are none for a while."""
        self.native_id = threading.get_native_id()
        try:
            self.watch_for_hangs()
        finally:
            self.alive.release()
        if self.runs and not self.end.acquire(blocking=False):
            self.start()  # one began in the moment in which this thread went

    def watch_for_hangs(self) -> None:
        sights: dict[int, _Sight] = {}
        idle, begun, before = 0.0, 0, time.monotonic()
        while idle < LINGER:
            period = min(LOOK_EVERY, HANG_LIMIT / 5)
            if self.end.acquire(timeout=period):
                self.end.release()
                return
            # A process that was stopped meanwhile, or starved, has not been seen to hang.
            elapsed, before = min(time.monotonic() - before, 2 * period), time.monotonic()
            sights = self.look(sights, elapsed)
            ever = sum(self.begun.copy().values())
            idle = idle + elapsed if ever == begun and not sights else 0.0
            begun = ever

    def look(self, before: dict[int, _Sight], elapsed: float) -> dict[int, _Sight]:
        """Looks at the innermost run of each thread, and accuses it where its turn takes too long."""
        innermost = {clock._thread: clock for clock in self.runs.copy()}
        sights: dict[int, _Sight] = {}
        for thread, clock in innermost.items():
            turn = self.turn(clock)
            sight = before.get(thread)
            if sight is None or sight.turn != turn or clock._is_held_by(clock._current):
                sights[thread] = _Sight(turn)
                continue
            sights[thread] = sight
            sight.seconds += elapsed
            if sight.seconds >= sight.due:
                self.accuse(clock, sight)
        return sights

    def turn(self, clock: Watched) -> _Turn:
        return id(clock), self.begun[clock._thread], clock._now, clock._turned, clock._fired, id(clock._current)

    def accuse(self, clock: Watched, sight: _Sight) -> None:
        """Raises HangError in the clock's thread; where that does not help, says so and interrupts what blocks it."""
        task = clock._current
        frame = sys._current_frames().get(clock._thread)
        if task is None and not clock._running:
            leave(clock)  # an interrupt came in the moment in which it would have been left
            return
        if _is_debugged(frame):
            return
        sentence = _sentence(clock, task, frame)
        error = HangError(sentence)
        others = [repr(other) for other in list(clock._tasks) if other is not task]
        if others:
            error.add_note(f"the other tasks: {', '.join(others)}")
        import ctypes  # noqa: F401 - for _raise_in: what takes time, as a first import, comes before the last look

        if self.turn(clock) != sight.turn:
            return
        sight.accused += 1
        clock._hang = task, error
        sight.due = sight.seconds + (LOOK_EVERY if sight.accused == 1 else HANG_LIMIT)
        if sight.accused == 1:
            _raise_in(clock._thread, _class_of(error))
            return
        if sight.accused == 2:
            print(f"timersim: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - the thread that could raise it does not run
        if clock._thread == threading.main_thread().ident and signal.getsignal(signal.SIGINT) is _DEFAULT:
            _raise_in(clock._thread, None)
            signal.pthread_kill(clock._thread, signal.SIGINT)
        else:
            _raise_in(clock._thread, _class_of(error))


_DEFAULT = signal.default_int_handler

_guard = _Guard()
os.register_at_fork(before=_guard.stop, after_in_parent=_guard.restart, after_in_child=_guard.forget)


def watch(clock: Watched) -> None:
    """Has the guard watch the clock until it is left, unless a debugger is at work in its thread."""
    if sys.gettrace() is None:
        _guard.begun[clock._thread] += 1
        _guard.runs.append(clock)
        if not _guard.alive.locked():
            _guard.start()


def leave(clock: Watched) -> None:
    """Ends the last `watch` of the clock."""
    runs = _guard.runs
    if runs and runs[-1] is clock:
        runs.pop()
    elif clock in runs:
        runs.remove(clock)


def disarm(clock: Watched) -> None:
    """Takes back an exception that the guard raised in the clock's thread, and that has not arrived."""
    _raise_in(clock._thread, None)


def _raise_in(thread: int, kind: type[HangError] | None) -> None:
    """Has an exception raised in a thread at its next line; None takes it back."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object() if kind is None else ctypes.py_object(kind)
    )


def _class_of(error: HangError) -> type[HangError]:
    """Returns a class whose only instance is this error: another thread can be given a class alone."""
    return type("HangError", (HangError,), {"__new__": lambda cls: error})


def _sentence(clock: Watched, task: VirtualTask | None, frame: FrameType | None) -> str:
    who = "what runs outside of tasks" if task is None else f"the task {task.name!r}"
    return (
        f"{who} has not come back to the clock for {HANG_LIMIT:g} s of real time, at t={clock._now / _SECOND!r}:"
        f" it blocks at {_where(frame)}"
    )


def _where(frame: FrameType | None) -> str:
    """Names the innermost frames outside of timersim, with the source of the first."""
    frames = list(_outward(frame))
    if not frames:
        return "a call that is not Python's"
    named = list(islice((frame for frame in frames if not _is_ours(frame)), FRAMES)) or frames[:FRAMES]
    places = [
        f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"  # noqa: PTH119 - it may be no path: <stdin>
        for frame in named
    ]
    source = linecache.getline(named[0].f_code.co_filename, named[0].f_lineno).strip()
    if source:
        places[0] += f" ({source})"
    return ", called at ".join(places)


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "timersim"


def _is_debugged(frame: FrameType | None) -> bool:
    """Returns whether a debugger stands in one of the frames, or is registered with the interpreter."""
    monitoring = getattr(sys, "monitoring", None)  # from 3.12 on
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    return any(frame.f_trace is not None for frame in _outward(frame))
