"""What torch documents of its timers, held against both packages; and where they differ on purpose."""

import math
import multiprocessing
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import timersim
from timersim.fakes import VirtualClock

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

torch_timer: ModuleType = pytest.importorskip("torch.distributed.elastic.timer")
pytestmark = pytest.mark.torch
torch_queue = pytest.importorskip("torch.distributed.elastic.timer.local_timer").MultiprocessingRequestQueue

LIMIT = 10.0
"""Real seconds within which something must have happened."""

START = 1_000_000.0

SPAWN = multiprocessing.get_context("spawn")

PACKAGES = [pytest.param(torch_timer, id="torch"), pytest.param(timersim, id="timersim")]

QUEUES = [pytest.param(torch_queue, id="torch"), pytest.param(timersim.MultiprocessingRequestQueue, id="timersim")]


@pytest.fixture
def worker() -> Iterator[int]:
    """Yields the pid of a process that waits."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


@pytest.fixture(autouse=True)
def nothing_is_configured() -> Iterator[None]:
    """Leaves both packages without a client."""
    yield
    for package in (torch_timer, timersim):
        package.configure(None)


def scopes(expired: dict[Any, list[Any]]) -> dict[Any, list[str]]:
    """Returns by worker the scopes of its timers."""
    return {worker: [timer.scope_id for timer in timers] for worker, timers in expired.items()}


@pytest.mark.parametrize("request_package", PACKAGES)
@pytest.mark.parametrize(("offset", "due"), [(-1, []), (0, ["a"]), (1, ["a", "b"])])
def test_what_is_due_at_the_deadline_is_expired(
    offset: int, due: list[str], request_package: ModuleType, worker: int
) -> None:
    """An expiration of the deadline or earlier is expired, one later is not; re-armed is the last, released is none."""
    requests = [
        request_package.TimerRequest(worker, scope, expiration)
        for scope, expiration in [("a", START), ("b", START + 61), ("a", START + 60), ("c", START + 1), ("c", -1)]
    ]
    clock = VirtualClock(START)
    servers = [torch_timer.LocalTimerServer(None), timersim.LocalTimerServer(queue.Queue(), clock=clock)]  # type: ignore[arg-type]  # anything with `get`
    for server in servers:
        server.register_timers(requests)

    assert [scopes(server.get_expired_timers(START + 60 + offset)) for server in servers] == [
        {worker: due} if due else {}
    ] * 2
    clock.close()


def test_in_real_time_a_request_is_due_at_its_own_expiration(worker: int) -> None:
    """With the machine's clock, too, what is sent is expired at a deadline of its own expiration, which comes back."""
    server = timersim.LocalTimerServer(queue.Queue())  # type: ignore[arg-type]  # anything with `get`
    for number in range(100):
        sent = timersim.TimerRequest(worker, "s", time.time() + 60 + number / 7)
        server.register_timers([sent])
        assert server.get_expired_timers(sent.expiration_time) == {worker: [sent]}


@pytest.mark.parametrize("make", QUEUES)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_contract_of_size(make: Callable[..., Any], count: int) -> None:
    """`get(size(), timeout=0)` gives that many: ours does; torch's gives one, and the rest waits for another pass."""
    requests: queue.Queue[Any] = queue.Queue()
    for number in range(count):
        requests.put(torch_timer.TimerRequest(7, "s", number))
    request_queue = make(requests)

    size = request_queue.size()
    given = len(request_queue.get(size, timeout=0))
    assert (size, given) == (count, 1 if make is torch_queue else count)


@pytest.mark.parametrize("make", QUEUES)
def test_a_get_of_more_than_there_is_gives_what_there_is(make: Callable[..., Any], mp_queue: "Queue[Any]") -> None:
    """`get(2 * size(), timeout)` gives between size and twice that, over a real queue, as documented."""
    client = torch_timer.LocalTimerClient(mp_queue)
    for scope in "abc":
        client.acquire(scope, START)

    request_queue = make(mp_queue)
    size = request_queue.size()
    assert (size, [one.scope_id for one in request_queue.get(2 * size, timeout=1)]) == (3, ["a", "b", "c"])


def requests_of(package: ModuleType, scope: str | None) -> list[tuple[str, bool]]:
    """Returns the scopes that a recursion of depth 2 acquires, and releases (False), with a package's own client."""
    sent: queue.Queue[Any] = queue.Queue()

    @package.expires(after=60, scope=scope, client=package.LocalTimerClient(sent))  # type: ignore[untyped-decorator]  # a module's
    def dive(depth: int) -> None:
        if depth:
            dive(depth - 1)

    dive(2)
    return [(one.scope_id, one.expiration_time >= 0) for one in sent.queue]


def test_a_recursion_rearms_one_scope() -> None:
    """A recursion sends the same with both packages: one scope is armed at each entry, and released at each exit."""
    assert requests_of(torch_timer, "dive") == [("dive", True)] * 3 + [("dive", False)] * 3
    assert requests_of(timersim, "dive") == requests_of(torch_timer, "dive")


def test_the_innermost_exit_of_a_recursion_disarms_its_scope(worker: int) -> None:
    """When the innermost call of a recursion is through its scope is not armed any more, with both servers."""
    for server in (torch_timer.LocalTimerServer(None), timersim.LocalTimerServer(queue.Queue())):  # type: ignore[arg-type]  # anything with `get`
        armed = [server.get_expired_timers(math.inf) != {}]
        for expiration in (START, START, -1):
            server.register_timers([torch_timer.TimerRequest(worker, "dive", expiration)])
            armed.append(len(server._timers) == 1)
        assert armed == [False, True, True, False]


@pytest.mark.parametrize(("package", "count"), [(torch_timer, 1), (timersim, 2)], ids=["torch", "timersim"])
def test_two_anonymous_blocks_are_two_scopes(package: ModuleType, count: int) -> None:
    """Two lines are two scopes with ours; torch names its own `contextlib`, so that all blocks are one scope."""
    sent: queue.Queue[Any] = queue.Queue()
    client = package.LocalTimerClient(sent)
    with package.expires(after=60, client=client):
        pass
    with package.expires(after=60, client=client):
        pass

    named = {one.scope_id for one in sent.queue}
    assert len(named) == count
    assert {scope.partition("#")[0] == __file__ for scope in named} == {package is timersim}


@pytest.mark.parametrize("package", PACKAGES)
def test_without_a_client_the_sentence_is_torchs(package: ModuleType) -> None:
    """A block where nothing is configured, or None is, raises RuntimeError with torch's sentence, and does not run."""
    package.configure(package.LocalTimerClient(queue.Queue()))
    package.configure(None)
    ran = False
    with pytest.raises(RuntimeError) as raised, package.expires(after=60, client=None):
        ran = True

    assert (str(raised.value), ran) == ("Configure timer client before using countdown timers.", False)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()], ids=repr)
def test_an_exception_passes_through(error: BaseException, package: ModuleType) -> None:
    """What a block raises comes out itself, through torch's client too, and the scope is released once."""
    sent: queue.Queue[Any] = queue.Queue()
    with (
        pytest.raises(type(error)) as raised,
        package.expires(after=60, scope="s", client=torch_timer.LocalTimerClient(sent)),
    ):
        raise error

    assert raised.value is error
    assert [(one.scope_id, one.expiration_time >= 0) for one in sent.queue] == [("s", True), ("s", False)]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_release_that_raises_in_an_exception_names_both(package: ModuleType) -> None:
    """Where the block raises and its release does too, the release's error comes out, with the block's as context."""

    class Breaking(torch_timer.TimerClient):  # type: ignore[misc, name-defined]  # torch is not followed
        def acquire(self, scope_id: str, expiration_time: float) -> None:
            """Sends nothing."""

        def release(self, scope_id: str) -> None:
            raise OSError("no pipe")

    block = ValueError("no")
    with pytest.raises(OSError, match="no pipe") as raised, package.expires(after=60, client=Breaking()):
        raise block

    assert raised.value.__context__ is block


def written_for_torch(base: Any, request_queue: Any, max_interval: float, reap: Callable[[Any], bool]) -> Any:
    """Returns a server as somebody wrote it for torch's base class, on the base that is given; it counts its passes."""

    class Server(base):  # type: ignore[misc]  # the base is the argument
        def __init__(self) -> None:
            super().__init__(request_queue, max_interval)
            self.timers: dict[tuple[Any, str], Any] = {}
            self.passes: queue.Queue[float] = queue.Queue()

        def register_timers(self, timer_requests: list[Any]) -> None:
            for one in timer_requests:
                self.timers.pop((one.worker_id, one.scope_id), None)
                if one.expiration_time >= 0:
                    self.timers[one.worker_id, one.scope_id] = one

        def clear_timers(self, worker_ids: set[Any]) -> None:
            self.timers = {key: one for key, one in self.timers.items() if key[0] not in worker_ids}

        def get_expired_timers(self, deadline: float) -> dict[Any, list[Any]]:
            expired: dict[Any, list[Any]] = {}
            for one in self.timers.values():
                if one.expiration_time <= deadline:
                    expired.setdefault(one.worker_id, []).append(one)
            return expired

        def _reap_worker(self, worker_id: Any) -> bool:
            return reap(worker_id)

        def _run_watchdog(self) -> None:
            super()._run_watchdog()
            self.passes.put(time.monotonic())

    return Server()


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("make", QUEUES)
def test_a_server_written_for_torch_is_served_by_both(package: ModuleType, make: Callable[..., Any]) -> None:
    """A server written for torch reaps the same on both bases, over both queues; who is not gone keeps its timers."""
    requests: queue.Queue[Any] = queue.Queue()
    reaped: list[Any] = []

    def reap(worker: Any) -> bool:
        reaped.append(worker)
        return bool(worker != "stubborn")

    server = written_for_torch(package.TimerServer, make(requests), LIMIT, reap)
    later = time.time() + 60
    for name, expiration in [("due", 1.0), ("stubborn", 1.0), ("later", later), ("out", later), ("out", -1)]:
        requests.put(torch_timer.TimerRequest(name, "s", expiration))
    while not requests.empty():
        server._run_watchdog()

    assert (reaped[:2], set(reaped[2:]) <= {"stubborn"}) == (["due", "stubborn"], True)
    assert sorted(server.timers) == [("later", "s"), ("stubborn", "s")]


@pytest.mark.parametrize(("package", "kept"), [(torch_timer, 0), (timersim, 1)], ids=["torch", "timersim"])
def test_a_reap_that_raises(package: ModuleType, kept: int) -> None:
    """A reap that raises counts as done with torch, whose worker loses its timers; ours keeps them and tries again."""

    def reap(worker: Any) -> bool:
        raise OSError("no permission")

    requests: Any = queue.Queue()  # anything with `get` will do
    requests.put(torch_timer.TimerRequest("hung", "s", 1.0))
    server = written_for_torch(package.TimerServer, timersim.MultiprocessingRequestQueue(requests), 0.01, reap)
    server._run_watchdog()

    assert len(server.timers) == kept


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("make", QUEUES)
def test_an_idle_server_passes_every_max_interval(
    package: ModuleType, make: Callable[..., Any], mp_queue: "Queue[Any]"
) -> None:
    """An idle server makes a pass when max_interval is over, again and again, and not earlier."""
    interval = 0.05
    server = written_for_torch(package.TimerServer, make(mp_queue), interval, lambda worker: True)
    begun = time.monotonic()
    server.start()
    watchdog = server._watchdog_thread
    try:
        passes = [server.passes.get(timeout=LIMIT) for _ in range(4)]
    finally:
        server.stop()
        watchdog.join(LIMIT)

    assert passes[-1] - begun >= 4 * interval * 0.9
