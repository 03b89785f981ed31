"""Virtual time: a clock that is its own scheduler, and jumps when everything is idle.

Its tasks are greenlets. One runs at a time, on one thread; ordinary blocking code needs no `await`. When
every task is blocked on the clock, time jumps to the next due instant.
"""

from collections.abc import Callable

from timersim.clock import Clock
from timersim.fakes.hands import Hands
from timersim.fakes.scheduler import SECOND, Deadlock, nanoseconds
from timersim.fakes.tasks import Call


class VirtualClock(Hands, Clock):
    """A clock whose time passes only when it is told to, and then at once.

    `start` is where both hands begin, in seconds: well above 0, since to torch a negative expiration means a
    release. Inside it counts integer nanoseconds, so ten advances of 0.1 make one second. A coroutine may advance it,
    which moves nothing that its event loop runs; `sleep` in a coroutine raises RuntimeError.

    >>> clock = VirtualClock()
    >>> task = clock.spawn(lambda: clock.sleep(3600), name="an hour")
    >>> clock.advance(3599); task.alive
    True
    >>> clock.advance(1); task.alive, clock.time()
    (False, 1003600.0)
    """

    def __init__(self, start: float = 1_000_000.0) -> None:
        super().__init__(nanoseconds(start))

    # The hands

    def time(self) -> float:
        return (self._now + self._wall_offset) / SECOND

    def monotonic(self) -> float:
        return self._now / SECOND

    @property
    def time_ns(self) -> int:
        """The wall clock in nanoseconds since the epoch."""
        return self._now + self._wall_offset

    @property
    def monotonic_ns(self) -> int:
        """The monotonic clock in nanoseconds."""
        return self._now

    # Letting time pass, from outside

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass, and runs what falls due on the way, each at its instant."""
        if seconds < 0:
            raise ValueError(f"time can't go backwards: advance({seconds!r})")
        self.advance_ns(nanoseconds(seconds))

    def advance_ns(self, nanoseconds: int) -> None:
        """Lets `nanoseconds` pass, as `advance` does."""
        if nanoseconds < 0:
            raise ValueError(f"time can't go backwards: advance_ns({nanoseconds!r})")
        self._run(self._now + nanoseconds, with_driver=True)

    def advance_to(self, instant: float) -> None:
        """Lets time pass until the monotonic `instant`, in seconds."""
        target = nanoseconds(instant)
        if target < self._now:
            raise ValueError(f"time can't go backwards: advance_to({instant!r}) at {self.monotonic()!r}")
        self._run(target, with_driver=True)

    def step(self) -> bool:
        """Jumps to the next due instant and runs what is due; returns False where nothing is."""
        self._run(self._now)
        head = self._next_due()
        if head is not None:
            self._run(head)
        return head is not None

    def run_until_idle(self) -> None:
        """Lets time pass until nothing is due any more."""
        self._run(None)

    def run_until(self, predicate: Callable[[], object], *, within: float) -> None:
        """Lets time pass until `predicate()` holds, and raises TimeoutError after `within` seconds.

        Raises Deadlock, naming each task and what it waits for, where nothing can happen any more.
        """
        if self._run(self._now + nanoseconds(within), predicate):
            return
        if self._next_due() is None and not self._readers:
            raise Deadlock(f"nothing can happen any more at t={self.monotonic()!r}: {self._describe_tasks()}")
        raise TimeoutError(f"not so within {within!r} s of virtual time: {predicate!r}; {self._describe_tasks()}")

    # What is due

    def call_at(self, instant: float, target: Callable[[], object], *, name: str = "") -> Call:
        """Has `target` called at the monotonic `instant`, in seconds; at once where that is past."""
        self._refuse_the_muted()
        call = Call(target, name)
        self._schedule(call, max(self._now, nanoseconds(instant)))
        return call

    def call_later(self, seconds: float, target: Callable[[], object], *, name: str = "") -> Call:
        """Has `target` called in `seconds` seconds."""
        self._refuse_the_muted()
        call = Call(target, name)
        self._schedule(call, self._now + nanoseconds(seconds))
        return call

    @property
    def pending(self) -> list[tuple[float, str]]:
        """What is due: (monotonic instant in seconds, name), earliest first."""
        entries = sorted((due, serial, timed) for due, serial, timed in self._heap if timed._due == serial)
        return [(due / SECOND, getattr(timed, "name", "")) for due, _, timed in entries]
