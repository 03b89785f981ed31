"""What servers keep wrongly over a restart of their own, where they keep anything."""

from typing import Any
from weakref import WeakKeyDictionary

from timersim.api import RequestQueue, TimerRequest
from timersim.fakes.broken_servers.ablation import Ablation
from timersim.memory_timer import MemoryTimerServer

Disk = dict[tuple[Any, str], float]

DISKS: WeakKeyDictionary[RequestQueue, Disk] = WeakKeyDictionary()
"""What servers have saved, by their queue, which outlives them."""


class LoadsAfterItDrained(MemoryTimerServer):
    """Saves its timers, and loads them after its first drain: what that released is back."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._disk = DISKS.setdefault(self._request_queue, {})
        self._is_loaded = False

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        super().register_timers(timer_requests)
        if not self._is_loaded:
            self._is_loaded = True
            _load(self._disk, self)
        _save(self._disk, self)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        super().clear_timers(worker_ids)
        _save(self._disk, self)


class SavesAcquiresAlone(MemoryTimerServer):
    """Saves what is acquired, and begins with it: what was released is back after a restart."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._disk = DISKS.setdefault(self._request_queue, {})
        _load(self._disk, self)

    def clear_timers(self, worker_ids: set[Any]) -> None:
        super().clear_timers(worker_ids)
        for key in [key for key in self._disk if key[0] in worker_ids]:
            del self._disk[key]

    def _arm(self, request: TimerRequest, expiration: float) -> None:
        super()._arm(request, expiration)
        self._disk[request.worker_id, request.scope_id] = expiration


class SavesRequestsAlone(MemoryTimerServer):
    """Saves what is registered, and not whom it reaped: the dead are reaped again after a restart."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._disk = DISKS.setdefault(self._request_queue, {})
        _load(self._disk, self)

    def register_timers(self, timer_requests: list[TimerRequest]) -> None:
        super().register_timers(timer_requests)
        if timer_requests:
            _save(self._disk, self)


def _load(disk: Disk, server: MemoryTimerServer) -> None:
    for key, expiration in disk.items():
        server._timers.arm(key, expiration)


def _save(disk: Disk, server: MemoryTimerServer) -> None:
    disk.clear()
    disk |= {key: at for key in server._timers if (at := server._timers.expiration(key)) is not None}


ABLATIONS = (
    Ablation("load-before-draining", LoadsAfterItDrained, breaks="release-wins"),
    Ablation("save-releases", SavesAcquiresAlone, breaks="release-wins"),
    Ablation("save-reaps", SavesRequestsAlone, breaks="dead-stay-dead"),
)
