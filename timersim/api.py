"""The API of torch.distributed.elastic.timer: requests, clients, queues, and the watchdog's loop.

Names, signatures and meaning are torch's; `clock` is ours. Where torch is hazardous this is not: see
`TimerServer` and `expires`.
"""

import logging
import math
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from numbers import Real
from types import TracebackType
from typing import Any, Self

from timersim.announcements import announced
from timersim.clock import Clock, SystemClock, Task
from timersim.turns import Turns

__all__ = ["RequestQueue", "TimerClient", "TimerRequest", "TimerServer", "configure", "expires"]

logger = logging.getLogger(__name__)

_SYSTEM_CLOCK = SystemClock()

UNDER_WAY = 0.005
"""Seconds that a pass waits for requests which a queue counts and which are still on their way out of a writer."""

STOP_LIMIT = 10.0
"""Seconds that `stop` waits for a pass to end; one that hangs longer reaps nobody afterwards."""

RETRY_INTERVAL = 1.0
"""Seconds from a failed reap to the next attempt; doubled with each failure, up to max_interval."""


@announced
class TimerRequest:
    """A request to acquire a timer, or to release it: that is a negative `expiration_time`.

    `expiration_time` is in seconds since the epoch. -0.0 acquires; -1e-9 releases.

    >>> TimerRequest(worker_id=7, scope_id="load", expiration_time=1_000_060.0)
    TimerRequest(7, 'load', 1000060.0)
    """

    __slots__ = ["worker_id", "scope_id", "expiration_time"]  # noqa: RUF023 - torch's order, which pickles keep

    def __init__(self, worker_id: Any, scope_id: str, expiration_time: float) -> None:
        self.worker_id = worker_id
        self.scope_id = scope_id
        self.expiration_time = expiration_time

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TimerRequest):
            return (
                self.worker_id == other.worker_id
                and self.scope_id == other.scope_id
                and self.expiration_time == other.expiration_time
            )
        return False

    __hash__ = None  # type: ignore[assignment]  # equal by value and mutable, as torch's

    def __repr__(self) -> str:
        return f"TimerRequest({self.worker_id!r}, {self.scope_id!r}, {self.expiration_time!r})"


class TimerClient(ABC):
    """What a worker acquires and releases its timers with.

    `clock`, where a client has one, is what `expires` counts by.
    """

    clock: Clock

    @abstractmethod
    def acquire(self, scope_id: str, expiration_time: float) -> None:
        """Acquires the timer of `scope_id`, due at `expiration_time`, in seconds since the epoch."""

    @abstractmethod
    def release(self, scope_id: str) -> None:
        """Releases the timer of `scope_id`: it is no longer in effect."""


class RequestQueue(ABC):
    """Where requests arrive, as the server sees it."""

    @abstractmethod
    def size(self) -> int:
        """Returns how many requests have arrived; a `get` of that many takes them without waiting."""

    @abstractmethod
    def get(self, size: int, timeout: float) -> list[TimerRequest]:
        """Takes up to `size` requests; waits for that many, `timeout` seconds at most."""

    def wake(self) -> None:  # noqa: B027 - optional: a queue of somebody else's may not have it
        """Ends a `get` that waits, with what there is; so `stop` need not wait for `max_interval`."""


class TimerServer(ABC):
    """The watchdog: watches timers and reaps the workers whose timers expire.

    Subclasses keep the timers and know how to reap; this class decides when. One pass drains the
    queue, registers the requests, and reaps the workers with an expired timer. It differs from
    torch's where that is hazardous:

    - what arrived before a pass judges is registered first, however long the backlog;
    - a worker whose reap failed or raised is tried again after RETRY_INTERVAL;
    - `start` after `stop` guards again, a second `start` changes nothing;
    - `stop` is prompt, and nothing is reaped after it returned.

    `request_queue` is where requests arrive; `max_interval` is the longest wait between two passes, in
    seconds; with `daemon` a program may end while the watchdog runs.
    """

    def __init__(
        self,
        request_queue: RequestQueue,
        max_interval: float,
        daemon: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        if not max_interval > 0:
            raise ValueError(f"max_interval is a number of seconds above 0: max_interval={max_interval!r}")
        self._request_queue = request_queue
        self._max_interval = max_interval
        self._daemon = daemon
        self._clock = clock or SystemClock()
        self._watchdog_thread: Task | None = None
        self._control = Turns(self._clock)
        self._stopping = threading.Event()
        self._retries: dict[Any, _Retry] = {}
        self._reading = self._read_clocks()
        self._judged = -math.inf
        self._is_reaping = False

    @abstractmethod
    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Takes each request in order: an acquire arms its timer, a release disarms it."""

    @abstractmethod
    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers."""

    @abstractmethod
    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Returns by worker the timers with an expiration of `deadline` or earlier, a wall-clock instant."""

    @abstractmethod
    def _reap_worker(self, worker_id: Any) -> bool:
        """Reaps the worker; returns whether it is gone."""

    def start(self) -> None:
        """Starts the watchdog; nothing changes where it runs already."""
        with self._controlled():
            self._start()

    def _start(self) -> None:
        if self._watchdog_thread is not None and self._watchdog_thread.alive:
            return
        logger.info("Starting %s: max_interval=%s", type(self).__name__, self._max_interval)
        self._stopping = threading.Event()
        self._judged = -math.inf
        self._watchdog_thread = self._clock.spawn(
            self._watchdog_loop, name=f"{type(self).__name__} watchdog", daemon=self._daemon
        )

    def stop(self) -> None:
        """Stops the watchdog; when this returns, nothing is reaped any more.

        It waits for a reap that is under way. From inside a reap it returns at once, and the pass ends with that reap.
        """
        with self._controlled():
            self._stop()

    def _stop(self) -> None:
        logger.info("Stopping %s", type(self).__name__)
        self._stopping.set()
        self._wake()
        task, self._watchdog_thread = self._watchdog_thread, None
        if task is not None and not self._is_own_pass():
            task.join(STOP_LIMIT)
            while task.alive and self._is_reaping:
                logger.error("stop of %s waits for a reap that is under way", type(self).__name__)
                task.join(STOP_LIMIT)
            if task.alive:
                logger.error("The watchdog of %s hangs in its queue; it will reap nobody", type(self).__name__)
                return
        if task is not None:
            try:
                self._take_leave()
            except Exception:  # as in a pass: the server stops all the same
                logger.exception("%s has stopped, and could not register what had arrived", type(self).__name__)

    def _take_leave(self) -> None:  # noqa: B027 - only some have anything to take
        """Is called when the watchdog has stopped; where the wire goes with the server, what is there is taken."""

    @contextmanager
    def _controlled(self) -> Iterator[None]:
        """Lets one task at a time start or stop the watchdog; its own pass needs no leave."""
        if self._is_own_pass():
            yield
            return
        with self._control:
            yield

    def _is_own_pass(self) -> bool:
        return _stopping_here.get() is self._stopping

    @property
    def _stop_signaled(self) -> bool:
        return self._stopping.is_set()

    @_stop_signaled.setter
    def _stop_signaled(self, value: bool) -> None:
        if value:
            self._stopping.set()
        else:
            self._stopping.clear()

    def _watchdog_loop(self) -> None:
        stopping = self._stopping
        _stopping_here.set(stopping)
        while not stopping.is_set():
            try:
                self._run_watchdog()
            except (Exception, SystemExit):  # in a thread nobody would hear of the latter
                self._judged = -math.inf
                logger.exception("A pass of the watchdog failed; the next one follows in %s s", RETRY_INTERVAL)
                self._clock.wait(stopping.wait, RETRY_INTERVAL)
        if self._stopping is not stopping:  # another loop watches by now: it knows nothing of what this one took last
            self._judged = -math.inf
            self._wake()

    def _wake(self) -> None:
        wake = getattr(self._request_queue, "wake", None)
        if wake is not None:
            wake()

    def _run_watchdog(self) -> None:
        """Makes one pass: drain, register, expire, reap, clear."""
        self.register_timers(self._drain())
        expired = self.get_expired_timers(self._reading[0])
        self._judged = self._reading[1]
        self._reap_expired(expired)

    def _drain(self) -> list[TimerRequest]:
        """Waits for the next request or due instant, then takes all that has arrived.

        The clocks are read before the queue's size: what had arrived by the instant that this pass judges
        is in what it takes, and a flood of requests cannot keep it from judging.
        """
        requests = self._request_queue.get(1, self._seconds_to_next_pass())
        self._reading = self._read_clocks()
        return requests + self._take_arrived()

    def _take_arrived(self) -> list[TimerRequest]:
        backlog = self._request_queue.size()
        return self._request_queue.get(backlog, UNDER_WAY) if backlog > 0 else []

    def _reap_expired(self, expired: dict[Any, list[TimerRequest]]) -> set[Any]:
        """Reaps each worker whose attempt is due; clears those that are gone, and returns them."""
        self._retries = {worker: retry for worker, retry in self._retries.items() if worker in expired}
        has_reaped, gone = False, set()
        stopping = _stopping_here.get() or self._stopping
        for worker_id, timers in expired.items():
            if stopping.is_set():
                break
            if not self._attempt_is_due(worker_id) or (has_reaped and not self._is_still_expired(worker_id)):
                continue
            has_reaped = True
            logger.info("Reaping worker_id=[%s]. Expired timers: %s", worker_id, self._get_scopes(timers))
            if self._reap_worker_no_throw(worker_id):
                logger.info("Successfully reaped worker=[%s]", worker_id)
                self._retries.pop(worker_id, None)
                self.clear_timers({worker_id})
                gone.add(worker_id)
            else:
                self._retry_later(worker_id)
        return gone

    def _is_still_expired(self, worker_id: Any) -> bool:
        """Returns whether the worker has an expired timer still, after others were reaped, which takes its time."""
        return True

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        """Reaps; an exception is reported and counts as a failure, to be tried again."""
        self._is_reaping = True
        try:
            return self._reap_worker(worker_id)
        except (Exception, SystemExit):
            logger.exception("The reap of worker=[%s] raised", worker_id)
            return False
        finally:
            self._is_reaping = False

    def _attempt_is_due(self, worker_id: Any) -> bool:
        retry = self._retries.get(worker_id)
        return retry is None or retry.at <= self._reading[1]

    def _retry_later(self, worker_id: Any) -> None:
        """Has a worker that is not gone looked at again: when its grace is over, or as a failure, ever more rarely."""
        earlier = self._retries.get(worker_id)
        grace, interval = self._grace_left(worker_id), 0.0
        if grace > 0:
            logger.info("Told worker=[%s] to end. It has %s s", worker_id, grace)
        else:
            doubled = RETRY_INTERVAL if earlier is None else max(RETRY_INTERVAL, 2 * earlier.interval)
            interval = min(doubled, max(RETRY_INTERVAL, self._max_interval))
            logger.error("Error reaping worker=[%s]. The next attempt is in %s s", worker_id, interval)
        self._retries[worker_id] = _Retry(self._clock.monotonic() + (grace or interval), interval)

    def _grace_left(self, worker_id: Any) -> float:
        """Returns for how many seconds a worker that was told to end is not to be killed yet."""
        return 0.0

    def _seconds_to_next_pass(self) -> float:
        now = self._clock.monotonic()
        instants = [retry.at for retry in self._retries.values()]
        expiration = self._next_expiration()
        if expiration is not None:
            instants.append(expiration)
        return max(0.0, min([self._max_interval, *(instant - now for instant in instants)]))

    def _next_expiration(self) -> float | None:
        """Returns the earliest monotonic expiration after `_judged`; None: a pass every max_interval will do."""
        return None

    def _read_clocks(self) -> tuple[float, float]:
        return self._clock.time(), self._clock.monotonic()

    def _get_scopes(self, timer_requests: list[TimerRequest]) -> list[str]:
        return [request.scope_id for request in timer_requests]


_stopping_here: ContextVar[threading.Event | None] = ContextVar("what ends the watchdog that runs here", default=None)
"""The loop's own: a server that is stopped and started again has another."""


class _Retry:
    """When a worker that is not gone is reaped again, and how long its last failure had it wait; 0 after none."""

    __slots__ = ("at", "interval")

    def __init__(self, at: float, interval: float) -> None:
        self.at = at
        self.interval = interval


_timer_client: TimerClient | None = None


def configure(timer_client: TimerClient | None) -> None:
    """Sets the client of this process, which `expires` uses where it is given none."""
    global _timer_client
    _timer_client = timer_client
    logger.info("Timer client configured to: %s", type(_timer_client).__name__)


class expires(ContextDecorator):
    """Guards a block, or a function: who is not through in `after` seconds may be reaped.

    Without `scope` the scope is the caller's file and line. Entering the same scope again re-arms its timer.
    Without `client` the configured one is used; RuntimeError where there is none.

    >>> from timersim import MemoryRequestQueue, MemoryTimerClient
    >>> queue = MemoryRequestQueue()
    >>> with expires(after=60, scope="load", client=MemoryTimerClient(queue, worker_id=1)):
    ...     queue.size()
    1
    >>> queue.size()
    2
    """

    __slots__ = ("_after", "_client", "_given", "_scope")

    def __init__(self, after: float, scope: str | None = None, client: TimerClient | None = None) -> None:
        if scope is None:
            caller = sys._getframe(1)
            scope = f"{caller.f_code.co_filename}#{caller.f_lineno}"
        self._after = after
        self._scope = scope
        self._given = self._client = client

    def __enter__(self) -> None:
        client = self._given
        if client is None:
            client = self._client = _timer_client
            if client is None:
                raise RuntimeError("Configure timer client before using countdown timers.")
        clock = getattr(client, "clock", _SYSTEM_CLOCK)
        if clock is not _SYSTEM_CLOCK and not isinstance(clock, Clock):
            clock = _SYSTEM_CLOCK
        client.acquire(self._scope, clock.time() + self._after)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        self._client.release(self._scope)

    def _recreate_cm(self) -> Self:
        return type(self)(self._after, self._scope, self._given)


def refusal(request: object) -> str | None:
    """Returns why `request` cannot be registered, None where it can: one bad message costs itself alone.

    >>> refusal(TimerRequest(1, "load", math.nan))
    'expiration_time is not a number of seconds: nan'
    """
    try:
        worker_id, scope_id, expiration = request.worker_id, request.scope_id, request.expiration_time  # type: ignore[attr-defined]  # if it has them
    except Exception:
        return f"not a timer request: {type(request).__name__}"
    try:
        hash(worker_id)
    except Exception:
        return f"worker_id is not hashable: {type(worker_id).__name__}"
    if not isinstance(scope_id, str):
        return f"scope_id is not a text: {type(scope_id).__name__}"
    if (type(worker_id) is not int or type(scope_id) is not str) and not _is_key((worker_id, scope_id)):
        return f"worker_id or scope_id is no key: {type(worker_id).__name__}, {type(scope_id).__name__}"
    if type(expiration) is float and not math.isnan(expiration):  # the usual one, without asking Real's ABC
        return None
    if isinstance(expiration, bool) or not isinstance(expiration, Real) or math.isnan(_float(expiration)):
        return f"expiration_time is not a number of seconds: {shown(expiration)}"
    return None


def _is_key(key: tuple[object, str]) -> bool:
    """Returns whether both can be looked up beside others: what raises there would cost others their timers."""
    try:
        hash(key)
        return [part == _SYSTEM_CLOCK for part in key] == [False, False]
    except (Exception, SystemExit):
        return False


def _float(number: Real) -> float:
    try:
        return float(number)
    except Exception:
        return math.nan


def shown(value: object) -> str:
    """Returns the repr of `value`, cut, or its type's name where it has none: for the log."""
    try:
        return repr(value)[:200]
    except Exception:
        return type(value).__name__
