"""Threads, locks and queues in virtual time: what `threading` and `queue` offer, on a virtual clock."""

import heapq
import itertools
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from timersim.fakes.clock import VirtualClock

if TYPE_CHECKING:
    from timersim.fakes.tasks import VirtualTask


class VirtualThreading:
    """The face of `threading` on `clock`; each of its classes is made for that clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.Thread = type("Thread", (_Thread,), {"_clock": clock})
        self.Timer = type("Timer", (_Timer,), {"_clock": clock})
        self.Event = type("Event", (_Event,), {"_clock": clock})
        self.Lock = type("Lock", (_Lock,), {"_clock": clock})
        self.RLock = type("RLock", (_RLock,), {"_clock": clock})
        self.Condition = type("Condition", (_Condition,), {"_clock": clock})

    def __getattr__(self, name: str) -> Any:
        if name in _REAL_ALONE:
            raise AttributeError(f"threading.{name} has no place in virtual time: it would block the whole world")
        return getattr(threading, name)


class VirtualQueues:
    """The face of `queue` on `clock`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.Queue = type("Queue", (_Queue,), {"_clock": clock})
        self.LifoQueue = type("LifoQueue", (_LifoQueue,), {"_clock": clock})
        self.PriorityQueue = type("PriorityQueue", (_PriorityQueue,), {"_clock": clock})
        self.SimpleQueue = self.Queue

    def __getattr__(self, name: str) -> Any:
        return getattr(queue, name)


_REAL_ALONE = ("Barrier", "BoundedSemaphore", "Semaphore")
"""What blocks, and has no virtual counterpart."""


class _Thread:
    _clock: VirtualClock
    _numbers = itertools.count(1)

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or f"Thread of {getattr(target, '__name__', type(self).__name__)}"
        self.daemon = bool(daemon)
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self._task: VirtualTask | None = None
        self.ident: int | None = None

    def start(self) -> None:
        if self._task is not None:
            raise RuntimeError("threads can only be started once")
        self.ident = next(self._numbers)
        self._task = self._clock.spawn(self.run, name=self.name, daemon=self.daemon)

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def is_alive(self) -> bool:
        return self._task is not None and self._task.alive

    def join(self, timeout: float | None = None) -> None:
        if self._task is None:
            raise RuntimeError("cannot join thread before it is started")
        self._task.join(timeout)


class _Timer(_Thread):
    def __init__(
        self,
        interval: float,
        function: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(target=function, args=args, kwargs=kwargs)
        self.interval = interval
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True

    def run(self) -> None:
        if not self._clock.wait(lambda _: self._cancelled, self.interval):
            super().run()


class _Event:
    _clock: VirtualClock

    def __init__(self) -> None:
        self._flag = False

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True

    def clear(self) -> None:
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._clock.wait(lambda _: self._flag, math.inf if timeout is None else timeout)


class _Lock:
    _clock: VirtualClock

    def __init__(self) -> None:
        self._depth = 0
        self._owner: VirtualTask | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - threading's
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        wait = 0 if not blocking else math.inf if timeout == -1 else timeout
        return self._clock.wait(lambda _: self._take(), wait) if wait else self._take()

    def release(self) -> None:
        if self._depth == 0:
            raise RuntimeError("release unlocked lock")
        self._depth -= 1

    def is_held(self) -> bool:
        """Returns whether who asks may release it."""
        return self._depth > 0

    def locked(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> bool:
        if self._depth:
            return False
        self._depth = 1
        return True


class _RLock(_Lock):
    def is_held(self) -> bool:
        return self._depth > 0 and self._owner is self._clock.current

    def release(self) -> None:
        if not self.is_held():
            raise RuntimeError("cannot release un-acquired lock")
        super().release()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 - threading's
        me = self._clock.current
        if self._depth and self._owner is me:
            self._depth += 1
            return True
        if not super().acquire(blocking, timeout):
            return False
        self._owner = me
        return True


class _Condition:
    _clock: VirtualClock

    def __init__(self, lock: _Lock | None = None) -> None:
        self._lock = lock or type("RLock", (_RLock,), {"_clock": self._clock})()
        self._waiters: deque[list[bool]] = deque()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        self._check_held("wait on")
        ticket = [False]
        self._waiters.append(ticket)
        depth, owner, self._lock._depth = self._lock._depth, self._lock._owner, 0
        try:
            return self._clock.wait(lambda _: ticket[0], math.inf if timeout is None else timeout)
        finally:
            self._waiters = deque(other for other in self._waiters if other is not ticket)
            self._lock.acquire()
            self._lock._depth, self._lock._owner = depth, owner

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        end = None if timeout is None else self._clock.monotonic() + timeout
        while not (result := predicate()):
            remaining = None if end is None else end - self._clock.monotonic()
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
        return result

    def notify(self, n: int = 1) -> None:
        self._check_held("notify on")
        for _ in range(min(n, len(self._waiters))):
            self._waiters.popleft()[0] = True

    def notify_all(self) -> None:
        self.notify(len(self._waiters))

    def _check_held(self, what: str) -> None:
        if not self._lock.is_held():
            raise RuntimeError(f"cannot {what} un-acquired lock")


class _Queue:
    _clock: VirtualClock

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._items: deque[Any] | list[Any] = self._no_items()
        self._unfinished = 0

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - queue's
        if not self._await(lambda: self._add(item), timeout, block=block):
            raise queue.Full

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - queue's
        taken: list[Any] = []
        if not self._await(lambda: self._take(taken), timeout, block=block):
            raise queue.Empty
        return taken[0]

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def task_done(self) -> None:
        if self._unfinished == 0:
            raise ValueError("task_done() called too many times")
        self._unfinished -= 1

    def join(self) -> None:
        self._clock.wait(lambda _: self._unfinished == 0, math.inf)

    def _no_items(self) -> "deque[Any] | list[Any]":
        return deque()

    def _push(self, item: Any) -> None:
        self._items.append(item)

    def _pop(self) -> Any:
        return self._items.popleft()  # type: ignore[union-attr]  # of this class it is a deque

    def _add(self, item: Any) -> bool:
        if self.full():
            return False
        self._push(item)
        self._unfinished += 1
        return True

    def _take(self, taken: list[Any]) -> bool:
        if self._items:
            taken.append(self._pop())
        return bool(taken)

    def _await(self, happens: Callable[[], bool], timeout: float | None, *, block: bool) -> bool:
        """Waits until `happens` does what it is for: in the same step, so that no other task comes between."""
        if not block:
            return happens()
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        return self._clock.wait(lambda _: happens(), math.inf if timeout is None else timeout)


class _LifoQueue(_Queue):
    def _pop(self) -> Any:
        return self._items.pop()


class _PriorityQueue(_Queue):
    def _no_items(self) -> list[Any]:
        return []

    def _push(self, item: Any) -> None:
        heapq.heappush(self._items, item)  # type: ignore[arg-type]  # of this class it is a list

    def _pop(self) -> Any:
        return heapq.heappop(self._items)  # type: ignore[arg-type]  # as above
