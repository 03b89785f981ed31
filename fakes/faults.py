"""Injected faults: a queue whose requests go astray on command, and a reaper that fails on command."""

import math
from collections import deque
from collections.abc import Callable, Hashable
from itertools import count
from operator import itemgetter
from typing import Any, Literal

from timersim.api import TimerRequest
from timersim.fakes.clock import VirtualClock
from timersim.lab.operations import Corruption, SendingPoint
from timersim.memory_timer import MemoryRequestQueue

WireKind = Literal["shared", "sequenced", "fifo"]
"""By one pipe with one lock for all, as `multiprocessing.Queue` has it, on connections of the workers' own, or lines
of a FIFO, each written whole by whoever has it open then."""

_NOBODY, _DEAD = object(), object()
"""Who holds the lock: nobody, or somebody who has ended and will not give it back."""


def _truncated(request: TimerRequest) -> TimerRequest:
    """Returns a request that lacks all but its first field."""
    half = TimerRequest.__new__(TimerRequest)
    half.worker_id = request.worker_id
    return half


_CORRUPTED: dict[Corruption, Callable[[TimerRequest], Any]] = {
    "garbage": lambda request: b"\0 no request",
    "nan": lambda request: TimerRequest(request.worker_id, request.scope_id, math.nan),
    "truncated": _truncated,
}
"""What comes of a request on its way."""


class _Letter:
    """A request on its way, with what is to happen to it."""

    __slots__ = (
        "again",
        "corruption",
        "crash",
        "crash_at",
        "dropped",
        "not_before",
        "overtaken",
        "request",
        "serial",
        "stall",
    )

    def __init__(self, request: TimerRequest, serial: int) -> None:
        self.request = request
        self.serial = serial
        self.dropped = False
        self.corruption: Corruption | None = None
        self.not_before = -math.inf
        self.overtaken: float | None = None
        self.again: list[float] = []
        self.stall = 0.0
        self.crash: Callable[[], object] | None = None
        self.crash_at: SendingPoint | None = None


class FaultyRequestQueue(MemoryRequestQueue):
    """A queue in virtual time whose requests go the way that those of a real one go, and go astray on command.

    A request is put, lies in the buffer of its worker, is written under the lock that all workers share, and can then
    be read: all at one instant, unless a fault is injected. The verbs that end in `_next` meddle with the next request
    that is put, of any worker or of `worker_id`; several of them meddle with the same one. On a "sequenced" wire each
    worker has a connection of its own: there is no lock to hold, and what was put is not lost with its process. On a
    "fifo" there is no lock either, and who stalls or is killed before the write has written nothing.

    >>> queue = FaultyRequestQueue(VirtualClock())
    >>> queue.delay_next(60)
    >>> queue.put(TimerRequest(1, "load", 1_000_005.0)); queue.size()
    0
    >>> queue.clock.advance(60); queue.size()
    1
    """

    clock: VirtualClock

    def __init__(self, clock: VirtualClock, *, wire: WireKind = "shared") -> None:
        super().__init__(clock=clock)
        self._has_lock = wire == "shared"
        self._keeps_letters = wire == "sequenced"
        self._meddling: dict[Hashable, list[Callable[[_Letter], None]]] = {}
        self._buffers: dict[Any, deque[_Letter]] = {}
        self._overtaken: dict[Any, dict[_Letter, None]] = {}
        self._stopped: set[Any] = set()
        self._is_held = False
        self._losses = 0
        self._lost = 0
        self._serials = count()
        self._lock: Any = _NOBODY

    def put(self, request: TimerRequest) -> None:
        """Sends a request; never blocks. What a process sends that was killed is not sent."""
        if self.clock.is_muted:
            return
        if self._meddling or self._buffers or self._is_held or self._stopped or self._lock is not _NOBODY:
            self._send(request)
        else:
            self._arrive(request)

    # What is to happen to the next request

    def drop_next(self, worker_id: Hashable = None) -> None:
        """Has the next request lost."""

        def drop(letter: _Letter) -> None:
            letter.dropped = True

        self._meddle(worker_id, drop)

    def delay_next(self, seconds: float, worker_id: Hashable = None) -> None:
        """Has the next request lie in its buffer for `seconds`; those of its worker after it wait behind it."""

        def delay(letter: _Letter) -> None:
            letter.not_before = self.clock.monotonic() + seconds
            self.on_fault("delayed", letter.request, seconds)

        self._meddle(worker_id, delay)

    def overtake_next(self, seconds: float, worker_id: Hashable = None) -> None:
        """Has the next request written `seconds` later; those after it overtake it."""

        def overtake(letter: _Letter) -> None:
            letter.overtaken = seconds

        self._meddle(worker_id, overtake)

    def duplicate_next(self, later: float = 0.0, worker_id: Hashable = None) -> None:
        """Has the next request arrive, and once more `later` seconds later."""

        def duplicate(letter: _Letter) -> None:
            letter.again.append(later)

        self._meddle(worker_id, duplicate)

    def corrupt_next(self, corruption: Corruption = "garbage", worker_id: Hashable = None) -> None:
        """Has the next request arrive as something that is none."""

        def corrupt(letter: _Letter) -> None:
            letter.corruption = corruption

        self._meddle(worker_id, corrupt)

    def stall_next(self, seconds: float, worker_id: Hashable = None) -> None:
        """Has its worker stall for `seconds` in the middle of the next request, with the lock held."""

        def stall(letter: _Letter) -> None:
            letter.stall += seconds

        self._meddle(worker_id, stall)

    def crash_next(self, at: SendingPoint, crash: Callable[[], object], worker_id: Hashable = None) -> None:
        """Has `crash` called when the next request has come as far as `at`; it ends the worker, and calls `forget`."""

        def end(letter: _Letter) -> None:
            letter.crash, letter.crash_at = crash, at

        self._meddle(worker_id, end)

    @property
    def put_only(self) -> int:
        """How many requests were put, and can't be read: those in buffers, and those that were lost with theirs.

        The `qsize` of a `multiprocessing.Queue` counts them.
        """
        return self._lost + sum(len(letters) for letters in (*self._buffers.values(), *self._overtaken.values()))

    # What happens to a worker, or to all

    def hold(self) -> None:
        """Keeps what is put from now on in the buffers."""
        self._is_held = True

    def release_held(self) -> None:
        """Lets what was held go on, in the order in which it was put."""
        self._is_held = False
        waiting = [(letter.serial, worker_id) for worker_id, buffer in self._buffers.items() for letter in buffer]
        for _, worker_id in sorted(waiting, key=itemgetter(0)):
            self._write(worker_id, 1)

    def pause(self, worker_id: Hashable) -> None:
        """Stops a worker, and the thread that writes for it."""
        self._stopped.add(worker_id)

    def resume(self, worker_id: Hashable) -> None:
        """Lets a worker go on."""
        self._stopped.discard(worker_id)
        buffer = self._buffers.get(worker_id)
        if buffer and buffer[0].not_before <= self.clock.monotonic():
            self._go_on(worker_id)
        elif buffer:
            self._write(worker_id)

    def forget(self, worker_id: Hashable, *, flush: bool = False) -> None:
        """Takes note of a worker's end: what lies in its buffer is lost, unless it could `flush` it.

        A lock that it held stays held.
        """
        self._stopped.discard(worker_id)
        self._meddling.pop(worker_id, None)
        if self._keeps_letters:
            return
        if self._lock == worker_id:
            self._lock = _DEAD
        left = [*self._buffers.pop(worker_id, ()), *self._overtaken.pop(worker_id, ())]
        for letter in left:
            if flush and self._lock is _NOBODY:
                self._deliver(letter)
            else:
                self._lost += 1
                self.on_fault("lost", letter.request, 0.0)

    def lose_all(self) -> None:
        """Loses all that is under way, and what has not been taken yet."""
        under_way = [letter.request for letters in self._buffers.values() for letter in letters]
        under_way += [letter.request for letters in self._overtaken.values() for letter in letters]
        self._buffers.clear()
        self._overtaken.clear()
        self._requests.clear()
        self._losses += 1
        for request in under_way:
            self.on_fault("lost", request, 0.0)

    # What whoever keeps a record overrides

    def on_arrival(self, request: TimerRequest) -> None:
        """Is told of each request that can be read from now on; of a duplicated one each time."""

    def on_fault(self, fault: str, request: TimerRequest, seconds: float) -> None:
        """Is told what happens to a request, and for how long."""

    def _meddle(self, worker_id: Hashable, how: Callable[[_Letter], None]) -> None:
        self._meddling.setdefault(worker_id, []).append(how)

    def _send(self, request: TimerRequest) -> None:
        letter = _Letter(request, next(self._serials))
        for whose in (None, request.worker_id):
            for how in self._meddling.pop(whose, ()):
                how(letter)
        if letter.overtaken is None:
            self._buffers.setdefault(request.worker_id, deque()).append(letter)
            self._write(request.worker_id)
        else:
            self._let_overtake(letter, letter.overtaken)

    def _let_overtake(self, letter: _Letter, seconds: float) -> None:
        worker_id = letter.request.worker_id
        self.on_fault("overtaken", letter.request, seconds)
        self._overtaken.setdefault(worker_id, {})[letter] = None

        def go_on() -> None:
            if self._overtaken.get(worker_id, {}).pop(letter, letter) is None:
                self._buffers.setdefault(worker_id, deque()).append(letter)
                self._write(worker_id)

        self.clock.call_later(seconds, go_on)

    def _write_all(self) -> None:
        for worker_id in list(self._buffers):
            self._write(worker_id)

    def _write(self, worker_id: Any, most: float = math.inf) -> None:
        """Writes what lies in a worker's buffer, as far as it can be written now, `most` requests at most."""
        buffer = self._buffers.get(worker_id)
        while buffer and most > 0 and self._may_write(worker_id):
            most -= 1
            letter = buffer[0]
            wait = letter.not_before - self.clock.monotonic()
            if wait > 0:
                self.clock.call_later(wait, lambda: self._write(worker_id))
                return
            if letter.crash is not None and letter.crash_at != "flushed":
                self._crash(letter, letter.crash)
                return
            if letter.stall:
                self._stall(letter)
                return
            buffer.popleft()
            self._deliver(letter)
            if letter.crash is not None:
                self._crash(letter, letter.crash)
                return
        if not buffer:
            self._buffers.pop(worker_id, None)

    def _may_write(self, worker_id: Any) -> bool:
        return not self._is_held and worker_id not in self._stopped and self._lock is _NOBODY

    def _crash(self, letter: _Letter, crash: Callable[[], object]) -> None:
        """Ends the worker; where it has come to the lock it takes it along."""
        letter.crash = None
        if not self._has_lock and letter.crash_at != "flushed":
            self._buffers[letter.request.worker_id].popleft()  # a packet is sent whole, or not at all
            self.on_fault("lost", letter.request, 0.0)
        elif self._has_lock and letter.crash_at != "buffered":
            self._lock = letter.request.worker_id
            self.on_fault("lock held", letter.request, 0.0)
        crash()

    def _stall(self, letter: _Letter) -> None:
        """Holds up the worker in the middle of a request, and with it all who need its lock."""
        worker_id = letter.request.worker_id
        self.on_fault("stalled", letter.request, letter.stall)
        letter.not_before = self.clock.monotonic() + letter.stall
        letter.stall = 0.0
        if self._has_lock:
            self._lock = worker_id

        self.clock.call_at(letter.not_before, lambda: self._go_on(worker_id))

    def _go_on(self, worker_id: Any) -> None:
        """Ends a stall, unless its worker is stopped or has ended."""
        if worker_id not in self._stopped:
            if self._lock == worker_id:
                self._lock = _NOBODY
            self._write_all()

    def _deliver(self, letter: _Letter) -> None:
        if letter.dropped:
            self.on_fault("dropped", letter.request, 0.0)
            return
        self._arrive(letter.request, letter.corruption)
        for later in letter.again:
            self.on_fault("duplicated", letter.request, later)
            self._arrive_again(letter, later)

    def _arrive_again(self, letter: _Letter, later: float) -> None:
        losses = self._losses

        def arrive() -> None:
            if losses == self._losses:
                self._arrive(letter.request, letter.corruption)

        if later > 0:
            self.clock.call_later(later, arrive)
        else:
            arrive()

    def _arrive(self, request: TimerRequest, corruption: Corruption | None = None) -> None:
        if corruption is None:
            self.on_arrival(request)
            super().put(request)
        else:
            self.on_fault("corrupted", request, 0.0)
            super().put(_CORRUPTED[corruption](request))


class FaultyReaper:
    """A reaper that fails, raises or takes its time on command; otherwise `reaper` reaps, by default with success.

    The verbs concern the next reaps, of any worker or of `worker_id`, in the order of the calls.

    >>> reap = FaultyReaper(VirtualClock())
    >>> reap.fail_next(times=2)
    >>> reap(7), reap(7), reap(7)
    (False, False, True)
    """

    def __init__(self, clock: VirtualClock, reaper: Callable[[Any], bool] = lambda worker_id: True) -> None:
        self._clock = clock
        self._reaper = reaper
        self._waits: dict[Hashable, deque[float]] = {}
        self._outcomes: dict[Hashable, deque[Exception | None]] = {}

    def __call__(self, worker_id: Any) -> bool:
        waits = self._waits.get(worker_id) or self._waits.get(None)
        if waits:
            seconds = waits.popleft()
            self.on_wait(worker_id, seconds)
            self._clock.sleep(seconds)
        outcomes = self._outcomes.get(worker_id) or self._outcomes.get(None)
        if not outcomes:
            return self._reaper(worker_id)
        error = outcomes.popleft()
        if error is not None:
            raise error
        return False

    def fail_next(self, times: int = 1, worker_id: Hashable = None) -> None:
        """Has the next reaps return False, and end nobody."""
        self._outcomes.setdefault(worker_id, deque()).extend([None] * times)

    def raise_next(self, error: Exception, times: int = 1, worker_id: Hashable = None) -> None:
        """Has the next reaps raise `error`, and end nobody."""
        self._outcomes.setdefault(worker_id, deque()).extend([error] * times)

    def slow_next(self, seconds: float, times: int = 1, worker_id: Hashable = None) -> None:
        """Has the next reaps take `seconds` longer, before anything else becomes of them."""
        self._waits.setdefault(worker_id, deque()).extend([seconds] * times)

    def on_wait(self, worker_id: Any, seconds: float) -> None:
        """Is told of each reap that takes `seconds`, when it begins."""
