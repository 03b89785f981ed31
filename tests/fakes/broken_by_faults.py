"""Servers with one mistake each, as people make them: none shows before a fault comes."""

import os
import signal
from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from timersim.api import RequestQueue, TimerRequest
from timersim.clock import Clock
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.sequenced_server import SequencedRequest, SequencedTimerServer
from timersim.table_server import TableTimerServer

SILENCE = 8.0
"""Seconds without a request after which a worker has lost its timers."""

IDLE = 12.0
"""Seconds without a request of anybody after which the job is over."""

DISKS: WeakKeyDictionary[RequestQueue, dict[tuple[Any, str], float]] = WeakKeyDictionary()
"""What servers have saved, by their queue, which outlives them."""


# How they reap


class KillsByPid(MemoryTimerServer):
    """Kills whoever bears the pid by now."""

    def _reap_worker(self, worker_id: Any) -> bool:
        try:
            os.kill(worker_id, signal.SIGKILL)
        except ProcessLookupError:
            return True
        return True


class TakesTheGoneForAFailure(MemoryTimerServer):
    """Kills by pid, and calls it a failure where there is no such process: the dead are killed again and again."""

    def _reap_worker(self, worker_id: Any) -> bool:
        try:
            os.kill(worker_id, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


class GivesUp(MemoryTimerServer):
    """Forgets who could not be reaped."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        super()._reap_worker_no_throw(worker_id)
        return True


class TakesAnExceptionForDone(MemoryTimerServer):
    """Reports what a reap raises, and goes on as after one that went well."""

    def _reap_worker(self, worker_id: Any) -> bool:
        try:
            return super()._reap_worker(worker_id)
        except OSError:
            return True


class LetsAnExceptionOut(MemoryTimerServer):
    """Has no net for a single reap: what one raises costs the others of its pass a second."""

    def _reap_worker_no_throw(self, worker_id: Any) -> bool:
        return self._reap_worker(worker_id)


class ReapsByAnOldList(MemoryTimerServer):
    """Judges once a pass: who released while another one was reaped is reaped all the same."""

    def _is_still_expired(self, worker_id: Any) -> bool:
        return True


class PlansAfterItReaped(MemoryTimerServer):
    """Reads the clock again after the reaps, to plan its sleep: for what came due meanwhile it does not wake."""

    def _run_watchdog(self) -> None:
        super()._run_watchdog()
        self._judged = self._clock.monotonic()


class StopsWithoutWaiting(MemoryTimerServer):
    """Waits two seconds for its last pass, then takes it for ended."""

    def _stop(self) -> None:
        self._stopping.set()
        self._request_queue.wake()
        task, self._watchdog_thread = self._watchdog_thread, None
        if task is not None:
            task.join(2.0)


# Whom they believe


class DropsTheSilent(MemoryTimerServer):
    """Takes a worker of which it has not heard for SILENCE seconds for gone, and drops its timers."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._heard: dict[Any, float] = {}

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers, and looks who was silent for long."""
        super().register_timers(timer_requests)
        now = self._clock.monotonic()
        self._heard |= dict.fromkeys((request.worker_id for request in timer_requests), now)
        self.clear_timers({worker for worker, heard in self._heard.items() if now - heard >= SILENCE})


class EndsWhenAllAreSilent(MemoryTimerServer):
    """Takes IDLE seconds without a request for the end of the job, and ends."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._heard = self._clock.monotonic()

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers, and ends where there was nothing to register for long."""
        super().register_timers(timer_requests)
        now = self._clock.monotonic()
        if timer_requests:
            self._heard = now
        elif now - self._heard >= IDLE:
            self._stopping.set()


class LooksSendersUp(PidTimerServer):
    """Looks up who sent a request, without a net: one that has died since ends the watchdog."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers each request whose sender there is."""
        for request in timer_requests:
            if not self._reaper.watch(request.worker_id):
                raise ProcessLookupError(request.worker_id)
        super().register_timers(timer_requests)

    def _watchdog_loop(self) -> None:
        _run_without_a_net(self)


# How they take requests


class DropsTheStale(MemoryTimerServer):
    """Drops what is due when it arrives: it must have been left long ago."""

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        if expiration > self._clock.monotonic():
            super()._arm(request, expiration)


class Counts(MemoryTimerServer):
    """Counts the acquires and the releases of a scope, and holds its timer while there are more of those."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._held: Counter[tuple[Any, str]] = Counter()

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        key = request.worker_id, request.scope_id
        self._held[key] += 1
        if self._held[key] > 0:
            super()._arm(request, expiration)

    def _disarm(self, request: TimerRequest) -> None:
        key = request.worker_id, request.scope_id
        self._held[key] -= 1
        if self._held[key] <= 0:
            super()._disarm(request)


class IgnoresTheSequence(SequencedTimerServer):
    """Answers each request, and registers it whatever its sequence."""

    def _register(self, request: TimerRequest, wall: float, monotonic: float) -> str | None:
        reason = PidTimerServer._register(self, request, wall, monotonic)
        if isinstance(request, SequencedRequest):
            request.connection.answer(request.sequence, reason)
        return reason


class TakesReleasesLast(MemoryTimerServer):
    """Registers what a batch acquires before what it releases: who re-enters a block in one batch is not guarded."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers the acquires, then the releases."""
        super().register_timers(sorted(timer_requests, key=lambda request: request.expiration_time < 0))


class LosesTheBatch(MemoryTimerServer):
    """Registers without a net: a bad message costs those that came with it."""

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers each request, whatever it is."""
        wall, monotonic = self._read_clocks()
        for request in timer_requests:
            if request.expiration_time < 0:
                self._disarm(request)
            else:
                self._arm(request, request.expiration_time - self._wall_ahead(wall, monotonic))


class EndsWithABadMessage(LosesTheBatch):
    """Registers without a net, and watches without one: a bad message ends the watchdog."""

    def _watchdog_loop(self) -> None:
        _run_without_a_net(self)


class TakesWhatIsNotLaterForExpired(MemoryTimerServer):
    """Looks for what is later than now, and takes the rest for expired: so is what is not a number."""

    def get_expired_timers(self, deadline: float) -> dict[Any, list[TimerRequest]]:
        """Returns what is not later."""
        expired: dict[Any, list[TimerRequest]] = {}
        for worker_id, scope_id in self._timers:
            expiration = self._timers.expiration((worker_id, scope_id))
            assert expiration is not None
            if not expiration > self._reading[1]:
                expired.setdefault(worker_id, []).append(TimerRequest(worker_id, scope_id, expiration))
        return expired

    def _admit(self, request: TimerRequest) -> str | None:
        return None


class TakesTwoAPass(MemoryTimerServer):
    """Takes at most two requests a pass, and judges by them."""

    def _take_arrived(self) -> list[TimerRequest]:
        return self._request_queue.get(1, timeout=0)


# By which clock they go


class JudgesByALaterClock(MemoryTimerServer):
    """Takes what there is, reads the clock then, and judges: what arrived in between is not in it."""

    def _drain(self) -> list[TimerRequest]:
        requests = self._request_queue.get(max(1, self._request_queue.size()), self._seconds_to_next_pass())
        self._reading = self._read_clocks()
        return requests


class GoesByTheWall(MemoryTimerServer):
    """Asks the wall clock each second who is due, and knows no other."""

    def _read_clocks(self) -> tuple[float, float]:
        wall = self._clock.time()
        return wall, wall

    def _seconds_to_next_pass(self) -> float:
        return 1.0


# What they keep


class LoadsAfterItDrained(MemoryTimerServer):
    """Saves its timers, and loads them after its first drain: what that released is back."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._disk = DISKS.setdefault(queue, {})
        self._is_loaded = False

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        """Registers, loads the first time, and saves."""
        super().register_timers(timer_requests)
        if not self._is_loaded:
            self._is_loaded = True
            _load(self._disk, self)
        self._save()

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers, on the disk too."""
        super().clear_timers(worker_ids)
        self._save()

    def _save(self) -> None:
        self._disk.clear()
        self._disk |= {key: at for key in self._timers if (at := self._timers.expiration(key)) is not None}


class SavesAcquiresAlone(MemoryTimerServer):
    """Saves what is acquired, and begins with it: what was released is back after a restart."""

    def __init__(self, queue: RequestQueue, max_interval: float, *, clock: Clock, reaper: Any) -> None:
        super().__init__(queue, max_interval, clock=clock, reaper=reaper)
        self._disk = DISKS.setdefault(queue, {})
        _load(self._disk, self)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        """Forgets every timer of these workers, on the disk too."""
        super().clear_timers(worker_ids)
        for key in [key for key in self._disk if key[0] in worker_ids]:
            del self._disk[key]

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        super()._arm(request, expiration)
        self._disk[request.worker_id, request.scope_id] = expiration


def _load(disk: dict[tuple[Any, str], float], server: TableTimerServer) -> None:
    for key, expiration in disk.items():
        server._timers.arm(key, expiration)


def _run_without_a_net(server: TableTimerServer) -> None:
    while not server._stop_signaled:
        server._run_watchdog()
