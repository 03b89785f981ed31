"""Timers over a socket: real processes, really killed, forked and stopped, and hostile packets."""

import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.descriptors import descriptors
from timersim import SocketTimerClient, SocketTimerServer, TimerRequest
from timersim.fakes import VirtualClock
from timersim.incarnation import start_ticks
from timersim.reaper import ProcessReaper
from timersim.refusals import MOST

LIMIT = 10.0
"""Real seconds within which a process must have done what it was told to."""

START = 1_000_000.0
"""Where virtual time begins."""


class Worker:
    """A real process that does what it is told: see `socket_worker.py`."""

    def __init__(self, path: str, clock: VirtualClock | None = None) -> None:
        script = str(Path(__file__).with_name("socket_worker.py"))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, script, path], stdin=pipe, stdout=pipe, text=True)
        self.pid = self.process.pid
        self._clock = clock

    def tell(self, code: str) -> None:
        """Has the process evaluate an expression."""
        assert self.process.stdin is not None
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """Waits for its answer, without a server in virtual time running meanwhile."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], LIMIT)[0], "the process owes an answer"
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, code: str) -> str:
        """Tells it, and waits for its answer while the server runs."""
        self.tell(code)
        return self.learn()

    def learn(self) -> str:
        """Waits for the answer that it owes, while the server runs."""
        if self._clock is not None:
            assert self.process.stdout is not None
            with self._clock.hold(f"pid {self.pid}: an answer"):
                self._clock.wait_readable([self.process.stdout.fileno()], LIMIT)
        return self.hear()

    def ends(self) -> int:
        """Waits for its end; returns its status."""
        return self.process.wait(LIMIT)

    def close(self) -> None:
        """Kills it and takes its status."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            return  # it died with something unread


Hire = Callable[[], Worker]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Returns where the socket is to be."""
    return str(tmp_path / "timers")


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Yields a virtual clock at START."""
    clock = VirtualClock(START)
    yield clock
    clock.close()


@pytest.fixture
def server(path: str, clock: VirtualClock) -> Iterator[SocketTimerServer]:
    """Yields a server in virtual time that has been started; it runs only while the clock does."""
    reaper = ProcessReaper(clock=clock)
    server = SocketTimerServer(path, max_interval=60, clock=clock, reaper=reaper)
    server.start()
    clock.advance(0)
    yield server
    server.stop()
    reaper.close()


@pytest.fixture
def hire(path: str, clock: VirtualClock) -> Iterator[Hire]:
    """Yields what starts a process that speaks with the server in virtual time; every one is gone at the end."""
    hired: list[Worker] = []

    def start() -> Worker:
        hired.append(Worker(path, clock))
        return hired[-1]

    yield start
    for worker in hired:
        worker.close()


@pytest.fixture
def employ(path: str) -> Iterator[Hire]:
    """Yields what starts a process in real time, for a server of this process or of another one."""
    hired: list[Worker] = []

    def start() -> Worker:
        hired.append(Worker(path))
        return hired[-1]

    yield start
    for worker in reversed(hired):
        worker.close()


def table(server: SocketTimerServer) -> dict[object, float | None]:
    """Returns what the server holds: each key with its expiration."""
    return {key: server._timers.expiration(key) for key in server._timers}


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the reasons that were logged."""
    start = "Refused a request: "
    return [each.getMessage()[len(start) :] for each in caplog.records if each.getMessage().startswith(start)]


# Reaped and spared


@pytest.mark.parametrize(("offset", "status"), [(-1, None), (0, -signal.SIGKILL), (1, -signal.SIGKILL)])
def test_a_worker_is_reaped_at_its_expiration(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, offset: int, status: int | None
) -> None:
    """A worker that hangs is killed at its expiration, and not a second before."""
    worker = hire()
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"

    clock.advance(60 + offset)

    assert (worker.process.poll() if status is None else worker.ends()) == status
    assert list(server._timers) == ([(worker.pid, "s")] if status is None else [])


def test_a_release_spares_its_worker(server: SocketTimerServer, clock: VirtualClock, hire: Hire) -> None:
    """Who releases in time lives, and the server holds nothing of it any more."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    assert worker.ask("client.release('s')") == "None"

    clock.advance(3600)
    assert (worker.process.poll(), table(server), server._reaper.watched()) == (None, {}, [])


def test_an_acquire_of_the_same_scope_re_arms(server: SocketTimerServer, clock: VirtualClock, hire: Hire) -> None:
    """The later acquire of a scope counts alone, also where it is due later."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    worker.ask(f"client.acquire('s', {START + 90})")

    clock.advance(89)
    assert (worker.process.poll(), table(server)) == (None, {(worker.pid, "s"): START + 90})
    clock.advance(1)
    assert worker.ends() == -signal.SIGKILL


def test_each_of_several_scopes_counts(server: SocketTimerServer, clock: VirtualClock, hire: Hire) -> None:
    """A worker that has released all of its scopes but the last is reaped when that one is due."""
    worker = hire()
    for number in range(3):
        worker.ask(f"client.acquire('s{number}', {START + 60 + number})")
    worker.ask("client.release('s0')")
    worker.ask("client.release('s1')")

    clock.advance(61)
    assert worker.process.poll() is None
    clock.advance(1)
    assert worker.ends() == -signal.SIGKILL


def test_a_real_server_and_expires(path: str, employ: Hire) -> None:
    """In real time a process that hangs in its second block dies after that one's expiration, and no sooner."""
    server = SocketTimerServer(path, max_interval=60)
    server.start()
    try:
        worker = employ()
        worker.ask("1")
        began = time.monotonic()
        worker.tell("guarded(after=0.3)")
        assert worker.ends() == -signal.SIGKILL
        assert 0.3 <= time.monotonic() - began < LIMIT
    finally:
        server.stop()


# What returned is armed, what raised is not


def test_who_is_killed_right_after_acquire_is_armed(server: SocketTimerServer, hire: Hire) -> None:
    """Of 50 processes that are killed the moment their acquire has returned the server holds all 50 timers."""
    pids = literal_eval(hire().ask(f"[killed_after(lambda: client.acquire('s', {START + 60})) for _ in range(50)]"))

    assert table(server) == {(pid, "s"): START + 60 for pid in pids}
    assert len(pids) == 50


def test_close_releases_what_its_process_holds(server: SocketTimerServer, hire: Hire) -> None:
    """`close` releases every timer that was acquired through it, and the client can be used again."""
    worker = hire()
    worker.ask(f"[client.acquire(scope, {START + 60}) for scope in 'abc']")
    worker.ask("client.release('b')")
    assert worker.ask("client.close()") == "None"
    assert (table(server), worker.ask("client.close()")) == ({}, "None")

    worker.ask(f"client.acquire('d', {START + 61})")
    assert table(server) == {(worker.pid, "d"): START + 61}


def test_a_refused_acquire_raises_with_the_reason(server: SocketTimerServer, hire: Hire) -> None:
    """An expiration that is no number is refused; the client says why, holds nothing, and can be used again."""
    worker = hire()

    assert worker.ask("client.acquire('s', float('nan'))") == (
        "RuntimeError: the server refused the request: expiration_time is not a number of seconds: nan"
    )
    assert (table(server), server._reaper.watched()) == ({}, [])
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"


def test_a_scope_that_is_too_long_is_the_clients_error(server: SocketTimerServer, hire: Hire) -> None:
    """A scope of 16,384 bytes is taken; one byte more is refused before anything is sent."""
    worker = hire()

    assert worker.ask(f"client.acquire('s' * 16_384, {START + 60})") == "None"
    assert worker.ask(f"client.acquire('t' * 16_385, {START + 60})") == (
        f"ValueError: a scope has at most 16384 bytes in UTF-8: 16385 in '{'t' * 40}'…"
    )
    assert table(server) == {(worker.pid, "s" * 16_384): START + 60}


def test_the_servers_own_process_is_refused(server: SocketTimerServer, clock: VirtualClock, path: str) -> None:
    """A client in the process of the server is refused, since nobody can be reaped by himself."""
    client = SocketTimerClient(path, clock=clock)
    with pytest.raises(RuntimeError, match=r"refused the request: only other processes with a pid above 1 can be"):
        client.acquire("s", START + 60)
    client.close()

    assert table(server) == {}


@pytest.mark.parametrize(
    ("before", "request_", "after"),
    [
        ([], "client.acquire('s', 1000060.0)", {}),
        (["client.acquire('s', 1000050.0)"], "client.acquire('s', 1000060.0)", {"s": START + 50}),
        (["client.acquire('s', 1000050.0)"], "client.release('s')", {"s": START + 50}),
        (["client.acquire('t', 1000050.0)"], "client.acquire('s', 1000060.0)", {"t": START + 50}),
    ],
)
@pytest.mark.parametrize(
    "interruption", ["setattr(client._link, '_limit', 0.05)", "setattr(client._link, '_clock', Interrupting(0))"]
)
def test_a_request_that_raised_has_changed_nothing(
    server: SocketTimerServer,
    clock: VirtualClock,
    hire: Hire,
    path: str,
    before: list[str],
    request_: str,
    after: dict[str, float],
    interruption: str,
) -> None:
    """A request that timed out or was interrupted while the server was paused changes nothing when it goes on."""
    worker = hire()
    for code in before:
        assert worker.ask(code) == "None"
    worker.ask(interruption)
    worker.tell(request_)

    assert worker.hear() == (
        "KeyboardInterrupt: now"
        if "Interrupting" in interruption
        else f"TimeoutError: [Errno 110] no answer within 0.05 s from the server: {path!r}"
    )
    clock.advance(1)
    assert table(server) == {(worker.pid, scope): expiration for scope, expiration in after.items()}


@pytest.mark.parametrize(("number", "after"), [(START + 60, START + 50), (-1.0, START + 50), (START - 1, START + 50)])
def test_a_request_whose_answer_nobody_reads_is_taken_back(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, number: float, after: float
) -> None:
    """A request is undone where its sender has stopped to listen, also one that is due already."""
    worker = hire()
    worker.ask(f"client.acquire('s', {after})")
    worker.ask("greeted()")
    worker.tell(f"connections[0].shutdown(0), connections[0].send(request_packet(1, 2, {number}, 's')) > 0")
    assert worker.hear() == "(None, True)"
    clock.advance(0)

    assert (table(server), worker.process.poll()) == ({(worker.pid, "s"): after}, None)
    clock.advance(49)
    assert worker.process.poll() is None
    clock.advance(1)
    assert worker.ends() == -signal.SIGKILL


def test_an_acquire_that_is_interrupted_after_its_answer_is_released(server: SocketTimerServer, hire: Hire) -> None:
    """Where the answer had come all the same the interrupt is raised, and nothing is left armed."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 50})")
    worker.ask("setattr(client._link, '_clock', Interrupting(0, late=True))")

    assert worker.ask(f"client.acquire('s', {START + 60})") == "KeyboardInterrupt: now"
    assert table(server) == {}


def test_an_interrupted_hello_raises_what_interrupted_it(server: SocketTimerServer, hire: Hire) -> None:
    """An interrupt while the client says hello is raised, also where the answer had come; the next call works."""
    worker = hire()
    worker.ask("globals().update(client=SocketTimerClient(path, clock=Interrupting(0, late=True)))")

    assert worker.ask(f"client.acquire('s', {START + 60})") == "KeyboardInterrupt: now"
    assert table(server) == {}
    worker.ask("setattr(client._link, '_clock', SystemClock())")
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"


def test_a_client_that_cannot_say_hello_can_later(server: SocketTimerServer, hire: Hire) -> None:
    """Where a process can't read its own start it raises, and afterwards all is well."""
    worker = hire()
    worker.ask("globals().update(module=sys.modules['timersim.socket_timer'])")
    worker.ask("setattr(module, 'start_ticks', lambda pid: os.open('/no/proc', 0))")
    assert worker.ask(f"client.acquire('s', {START + 60})").startswith("FileNotFoundError: ")
    worker.ask("setattr(module, 'start_ticks', start_ticks)")

    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"
    assert table(server) == {(worker.pid, "s"): START + 60}


# Nobody speaks for another


@pytest.mark.parametrize("number", [START, START + 60, -1.0])
def test_a_forked_child_cannot_speak_for_its_parent(
    server: SocketTimerServer, hire: Hire, caplog: pytest.LogCaptureFixture, number: float
) -> None:
    """What a child says on the inherited connection is refused with a reason; its parent's timer stays."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 50})")
    answer, child = literal_eval(worker.ask(f"in_a_child(lambda: say(inherited(), 99, {number}, 's'))"))

    reason = f"pid={child} speaks on the connection of pid={worker.pid}"
    assert (answer, refusals(caplog)) == ([0, reason], [reason])
    assert table(server) == {(worker.pid, "s"): START + 50}


@pytest.mark.parametrize("number", [START, START + 60, -1.0])
def test_a_child_cannot_speak_for_a_parent_that_is_dead(server: SocketTimerServer, hire: Hire, number: float) -> None:
    """The connection stays the dead parent's: its child can neither arm nor release."""
    code = f"in_a_child(lambda: say(inherited(), 99, {number}, 's'), orphan=True)"
    answer, child, parent = literal_eval(hire().ask(code))

    assert answer == [0, f"pid={child} speaks on the connection of pid={parent}"]
    assert table(server) == {(parent, "s"): 2e6}


def test_a_childs_noise_does_not_confuse_its_parent(server: SocketTimerServer, hire: Hire) -> None:
    """Answers that a child has provoked on the inherited connection are not taken for the parent's own."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 50})")
    packet = f"request_packet(Kind.REQUEST, 2, {START + 60}, 's')"
    worker.ask(f"in_a_child(lambda: [inherited().send({packet}), inherited().send(b'')])")

    assert worker.ask("client.acquire('s', float('nan'))") == (
        "RuntimeError: the server refused the request: expiration_time is not a number of seconds: nan"
    )
    assert worker.ask(f"client.acquire('s', {START + 70})") == "None"
    assert worker.ask("client.acquire('t', float('nan'))").startswith("RuntimeError: ")
    assert table(server) == {(worker.pid, "s"): START + 70}


def test_a_child_that_uses_the_client_has_timers_of_its_own(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire
) -> None:
    """A forked child that uses its parent's client speaks for itself, and the parent goes on as before."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    code = f"in_a_child(lambda: [client.release('s'), client.acquire('t', {START + 70})])"
    _, child = literal_eval(worker.ask(code))

    assert table(server) == {(worker.pid, "s"): START + 60, (child, "t"): START + 70}
    assert literal_eval(worker.ask("in_a_child(client.close)"))[0] is None
    assert worker.ask("client.release('s')") == "None"
    assert table(server) == {(child, "t"): START + 70}


@pytest.mark.parametrize("number", [START, START + 60, -1.0])
def test_who_is_passed_a_connection_cannot_speak_on_it(server: SocketTimerServer, hire: Hire, number: float) -> None:
    """A connection that its owner passes to another process stays the owner's."""
    worker = hire()
    answer, other = literal_eval(worker.ask(f"told_over_a_passed_descriptor({number})"))

    assert answer == [0, f"pid={other} speaks on the connection of pid={worker.pid}"]
    assert table(server) == {(worker.pid, "s"): 2e6}


@pytest.mark.parametrize("offset", [-1, 1, "float('nan')", "float('inf')"])
def test_a_hello_of_another_life_is_refused(server: SocketTimerServer, hire: Hire, offset: object) -> None:
    """Who says that it started when its pid's bearer did not is not let in."""
    worker = hire()

    assert worker.ask(f"greeted(start_ticks(os.getpid()) + {offset})") == (
        f"RuntimeError: (0, 'pid={worker.pid} says hello, and is not the process that it was then')"
    )
    assert worker.ask(f"say(connections[0], 2, {START + 60}, 's')") == (
        f"(0, 'a request of pid={worker.pid}, that has not said hello')"
    )
    assert table(server) == {}


def test_a_request_without_hello_is_refused(server: SocketTimerServer, hire: Hire) -> None:
    """A request on a connection on which nobody has said hello is refused with the reason."""
    worker = hire()

    assert worker.ask(f"say(opened(), 1, {START + 60}, 's')") == (
        f"(0, 'a request of pid={worker.pid}, that has not said hello')"
    )
    assert table(server) == {}


def test_a_second_hello_is_refused(server: SocketTimerServer, hire: Hire) -> None:
    """A connection has one owner: a second hello is refused, and the connection goes on."""
    worker = hire()
    worker.ask("greeted()")

    again = worker.ask("say(connections[0], 2, start_ticks(os.getpid()), kind=Kind.HELLO)")
    assert again == f"(0, 'pid={worker.pid} says hello a second time')"
    assert worker.ask(f"say(connections[0], 3, {START + 60}, 's')") == "(3, None)"
    assert table(server) == {(worker.pid, "s"): START + 60}


@pytest.mark.parametrize("number", [START + 60, -1.0])
def test_a_request_of_a_worker_that_is_gone_is_refused(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, caplog: pytest.LogCaptureFixture, number: float
) -> None:
    """What a worker has sent before its death and the server reads after it changes nothing."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 50})")
    worker.tell(f"inherited().send(request_packet(Kind.REQUEST, 99, {number}, 's'))")
    worker.hear()
    worker.process.kill()
    worker.process.wait()
    clock.advance(0)

    assert len(refusals(caplog)) == 1
    assert table(server) == ({} if number > 0 else {(worker.pid, "s"): START + 50})


def test_the_end_of_a_connection_releases_nothing(server: SocketTimerServer, clock: VirtualClock, hire: Hire) -> None:
    """Who hangs up without a release is guarded on."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    worker.ask("client._link.hang_up()")

    clock.advance(59)
    assert table(server) == {(worker.pid, "s"): START + 60}
    clock.advance(1)
    assert worker.ends() == -signal.SIGKILL


def test_a_worker_that_is_gone_loses_its_timers(server: SocketTimerServer, clock: VirtualClock, hire: Hire) -> None:
    """The timers of a dead worker are forgotten within max_interval, long before they are due."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 86_400})")
    worker.process.kill()
    worker.process.wait()

    clock.advance(121)
    assert (table(server), server._reaper.watched()) == ({}, [])


# Sequence


@pytest.mark.parametrize(("sequence", "expiration"), [(4, START + 50), (5, START + 50), (6, START + 60)])
@pytest.mark.parametrize("number", [START + 60, -1.0])
def test_a_duplicate_changes_nothing(
    server: SocketTimerServer, hire: Hire, sequence: int, expiration: float, number: float
) -> None:
    """A request with the sequence of the last one, or an older one, is answered and changes nothing."""
    worker = hire()
    worker.ask("greeted()")
    worker.ask(f"say(connections[0], 5, {START + 50}, 's')")

    assert worker.ask(f"say(connections[0], {sequence}, {number}, 's')") == f"({sequence}, None)"
    is_new = expiration == START + 60
    expected = {} if is_new and number < 0 else {(worker.pid, "s"): expiration}
    assert table(server) == expected


# Hostile input


def test_ten_thousand_hostile_packets_cost_themselves_alone(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 10,000 hostile packets none costs a valid request, an innocent's life or the watchdog's; the log is short."""
    caplog.set_level(logging.WARNING)
    innocent, hung, hostile = hire(), hire(), hire()
    hung.ask(f"client.acquire('s', {START + 60})")
    sent = 0
    for number in range(100):
        hostile.tell(f"attack({number}, 100)")
        assert innocent.ask(f"client.acquire('s{number}', {START + 3600})") == "None"
        if number % 2:
            assert innocent.ask(f"client.release('s{number}')") == "None"
        sent += int(hostile.learn())
        clock.advance(0.001)

    assert sent == 10_000
    assert server._timers.scopes(innocent.pid) == [f"s{number}" for number in range(0, 100, 2)]
    assert set(server._timers._live) <= {innocent.pid, hung.pid, hostile.pid}
    assert server._socket._refusals.count > 4_000
    assert len(refusals(caplog)) == MOST * 2 or server._refusals.count < MOST
    assert len(caplog.records) <= 2 * (MOST + 1)
    clock.advance_to(START + 59)
    assert hung.process.poll() is None
    clock.advance(1)
    assert (hung.ends(), innocent.process.poll()) == (-signal.SIGKILL, None)
    assert server._watchdog_thread is not None
    assert server._watchdog_thread.alive


def test_descriptors_that_are_sent_along_do_not_stay(server: SocketTimerServer, hire: Hire) -> None:
    """Whoever sends descriptors with his packets, and never ends, costs the server none of its own."""
    worker = hire()
    worker.ask("passes_descriptors(1)")
    before = descriptors()

    assert literal_eval(worker.ask("passes_descriptors(50)")) == 50
    assert descriptors() == before + 1


# Clients that hang, flood or hoard


class Passes:
    """Counts a server's passes, and how often it looks for what has arrived."""

    def __init__(self, server: SocketTimerServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        run, read = server._run_watchdog, server._socket._read

        def count(original: Callable[[], None]) -> Callable[[], None]:
            def counted() -> None:
                self.number += 1
                original()

            return counted

        monkeypatch.setattr(server, "_run_watchdog", count(run))
        monkeypatch.setattr(server._socket, "_read", count(read))


def test_a_client_that_says_nothing_costs_nothing(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside connections on which nothing is said others are served and reaped, and an hour takes sixty passes."""
    silent, worker = hire(), hire()
    silent.ask("[opened() for _ in range(20)]")
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"
    clock.advance(59)
    assert worker.process.poll() is None
    clock.advance(1)
    assert worker.ends() == -signal.SIGKILL

    passes = Passes(server, monkeypatch)
    clock.advance(3600)
    assert passes.number <= 61 * 5


def test_a_client_that_is_stopped_harms_nobody(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a process that was stopped others are served; itself it is reaped when its timer is due."""
    stopped, worker = hire(), hire()
    stopped.ask(f"client.acquire('s', {START + 1800})")
    os.kill(stopped.pid, signal.SIGSTOP)
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"
    clock.advance(60)
    assert worker.ends() == -signal.SIGKILL

    passes = Passes(server, monkeypatch)
    clock.advance(1739)
    assert (stopped.process.poll(), passes.number <= 31 * 5) == (None, True)
    clock.advance(1)
    assert stopped.ends() == -signal.SIGKILL


def test_a_client_that_reads_no_answers_harms_nobody(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of requests whose answers nobody reads fills its sender's buffers alone; the server does not spin."""
    flood, worker = hire(), hire()
    flood.ask("greeted()")
    first, sent = 2, 1
    while sent:
        flood.tell(f"overfill(connections[0], {first})")
        sent = int(flood.hear())
        first += sent
        clock.advance(0.001)
        if first > 5_000:
            break
    assert first > 500
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"
    clock.advance(60)
    assert (worker.ends(), flood.process.poll()) == (-signal.SIGKILL, None)

    passes = Passes(server, monkeypatch)
    clock.advance(3600)
    assert passes.number <= 61 * 5
    assert set(server._timers) <= {(flood.pid, "flood")}


def test_an_ended_connection_that_a_child_of_the_server_holds_too_does_not_spin(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server's process has forked, the copies of its connections keep nothing awake after their end."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    (connection,) = server._socket._connections.values()
    copy = os.dup(connection.socket.fileno())  # as a forked child has it
    try:
        worker.process.kill()
        worker.process.wait()
        passes = Passes(server, monkeypatch)
        clock.advance(3600)
        assert passes.number <= 65 * 5
    finally:
        os.close(copy)


def test_a_copy_of_a_connection_does_not_keep_its_client_waiting(path: str, employ: Hire) -> None:
    """A client hears at once that the server has stopped, also where a fork of that holds the connection."""
    serving, worker = employ(), employ()
    serving.ask("serve()")
    worker.ask("client.acquire('s', time.time() + 60)")
    serving.ask("globals().update(copies=[os.dup(fd) for fd in server._socket._connections])")
    serving.ask("server.stop()")

    said, took = literal_eval(worker.ask("seconds(lambda: client.acquire('s', time.time() + 60))"))
    assert said.startswith("ConnectionRefusedError: ")
    assert took < LIMIT / 2


def test_silent_connections_beyond_the_descriptor_limit_are_ended(employ: Hire) -> None:
    """Of 300 silent connections at a server with 64 descriptors the oldest are ended; others are served and reaped."""
    serving, hoarder, hung, innocent = (employ() for _ in range(4))
    serving.ask("__import__('resource').setrlimit(7, (64, 64))")
    serving.ask("serve()")
    hung.ask("1")
    hung.tell("guarded(after=2)")
    assert hoarder.ask("len([opened() for _ in range(300)])") == "300"

    said, took = literal_eval(innocent.ask("seconds(lambda: client.acquire('s', time.time() + 60))"))
    assert (said, took < LIMIT / 2) == ("", True)
    spent = float(serving.ask("time.process_time()"))
    assert hung.ends() == -signal.SIGKILL
    assert float(serving.ask("time.process_time()")) - spent < 0.5
    assert innocent.ask("client.release('s')") == "None"


def test_a_hoarder_that_has_said_hello_harms_who_is_there_already_not(employ: Hire) -> None:
    """Who takes every place harms no one who has acquired before, and when it is gone others get in."""
    serving, hoarder, hung, innocent = (employ() for _ in range(4))
    serving.ask("__import__('resource').setrlimit(7, (64, 64))")
    serving.ask("serve()")
    assert innocent.ask("client.acquire('s', time.time() + 60)") == "None"
    assert hung.ask("client.acquire('s', time.time() + 1.5)") == "None"
    hoarder.ask("globals().update(LIMIT=0.3)")
    for _ in range(3):
        assert "Error: " in hoarder.ask("[greeted() for _ in range(100)]")
    assert innocent.ask("client.acquire('s', time.time() + 60)") == "None"
    spent, began = float(serving.ask("time.process_time()")), time.monotonic()
    assert hung.ends() == -signal.SIGKILL
    assert time.monotonic() - began < LIMIT / 2
    assert float(serving.ask("time.process_time()")) - spent < 0.5

    hoarder.process.kill()
    hoarder.process.wait()
    said, took = literal_eval(employ().ask("seconds(lambda: client.acquire('s', time.time() + 60))"))
    assert (said, took < LIMIT / 2) == ("", True)


def test_a_server_that_is_deaf_listens_again_by_itself(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When descriptors are free again, whoever freed them, the next connection is accepted within a second."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    worker = hire()
    worker.tell(f"client.acquire('s', {START + 60})")
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (null + 1, limits[1]))
        taken = []
        try:
            while True:
                taken.append(os.dup(null))
        except OSError:
            pass
        assert server._socket._listener is not None
        assert select.select([server._socket._listener], [], [], LIMIT)[0]
        clock.advance(0)
        assert server._socket._deaf_until == START + 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in (null, *taken):
            os.close(fd)

    clock.advance(1)
    assert worker.learn() == "None"
    assert table(server) == {(worker.pid, "s"): START + 60}


def test_a_hello_for_which_there_is_no_descriptor_is_refused(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the start of a process can't be read its hello is refused, and the pass goes on."""

    def no_descriptor(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("timersim.socket_queue.start_ticks", no_descriptor)
    worker = hire()
    said = worker.ask(f"client.acquire('s', {START + 60})")

    assert said.startswith("ConnectionRefusedError: [Errno 111] the server refused this process: ")
    assert "Too many open files" in said


# Servers that die, and paths


def test_a_server_that_is_killed_is_noticed_and_replaced(path: str, employ: Hire) -> None:
    """A client of a killed server is told so within two seconds, and finds the next one at the path by itself."""
    first, second, worker = employ(), employ(), employ()
    first.ask("serve()")
    assert worker.ask("client.acquire('s', time.time() + 60)") == "None"
    first.process.kill()
    first.process.wait()

    for code in ["client.acquire('s', time.time() + 60)", "client.release('s')"]:
        said, took = literal_eval(worker.ask(f"seconds(lambda: {code})"))
        assert said == (
            f"ConnectionRefusedError: [Errno 111] no SocketTimerServer answers: Connection refused: {path!r}"
        )
        assert took < LIMIT / 2
    assert worker.ask("client.close()") == "None"

    assert second.ask("serve()").startswith("<")
    assert worker.ask("client.acquire('s', time.time() + 0.3)") == "None"
    assert worker.ends() == -signal.SIGKILL
    assert second.ask("server.stop()") == "None"
    assert not Path(path).exists()


def test_a_server_that_is_killed_while_it_owes_an_answer(path: str, employ: Hire) -> None:
    """A client that waits for the answer of a server that is killed then does not wait for long."""
    serving, worker = employ(), employ()
    serving.ask("serve()")
    worker.ask("client.acquire('s', time.time() + 60)")
    os.kill(serving.pid, signal.SIGSTOP)
    worker.tell("seconds(lambda: client.acquire('s', time.time() + 70))")
    serving.process.kill()
    serving.process.wait()

    said, took = literal_eval(worker.hear())
    assert said.startswith("ConnectionRefusedError: [Errno 111] no SocketTimerServer answers")
    assert took < LIMIT / 2


def test_a_client_reconnects_to_a_server_that_was_started_again(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, path: str
) -> None:
    """`stop` takes the socket away and is prompt, `start` guards what was armed, and its client can release that."""
    spared, hung = hire(), hire()
    for worker in (spared, hung):
        worker.ask(f"client.acquire('s', {START + 60})")
    clock.advance(1)
    server.stop()
    assert (Path(path).exists(), clock.time()) == (False, START + 1)
    clock.advance(9)
    server.start()
    clock.advance(0)

    assert spared.ask("client.release('s')") == "None"
    clock.advance(49)
    assert hung.process.poll() is None
    clock.advance(1)
    assert (hung.ends(), spared.process.poll()) == (-signal.SIGKILL, None)


def test_nothing_is_reaped_after_stop_and_what_is_due_is_after_start(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire
) -> None:
    """A stopped server spares who is due; started again it reaps him at once."""
    worker = hire()
    worker.ask(f"client.acquire('s', {START + 60})")
    server.stop()
    clock.advance(3600)
    assert worker.process.poll() is None

    server.start()
    clock.advance(0)
    assert worker.ends() == -signal.SIGKILL


class StopsInItsPass(SocketTimerServer):
    """Stops when it has done its work, and a request is there that it did not see."""

    worker: Worker | None = None

    def _reap_expired(self, expired: dict[Any, list[TimerRequest]]) -> set[Any]:
        gone = super()._reap_expired(expired)
        if self.worker is not None:
            self.worker.tell(f"client.acquire('s', {START + 60})")
            assert select.select([self._socket.fileno()], [], [], LIMIT)[0]
            self.stop()
        return gone


def test_what_arrived_before_the_stop_is_answered_and_known_after_the_start(
    path: str, clock: VirtualClock, hire: Hire
) -> None:
    """A server that is stopped when a request lies in its socket arms that timer and answers."""
    reaper = ProcessReaper(clock=clock)
    server = StopsInItsPass(path, max_interval=60, clock=clock, reaper=reaper)
    server.start()
    worker = hire()
    worker.ask("client.release('s')")
    server.worker = worker
    clock.advance(60)
    assert (worker.learn(), worker.process.poll()) == ("None", None)

    server.worker = None
    server.start()
    clock.advance(0)
    assert worker.ends() == -signal.SIGKILL
    server.stop()
    reaper.close()


def test_stop_is_prompt_and_leaves_nothing(path: str, employ: Hire) -> None:
    """An idle server with a max_interval of 60 s stops at once, and leaves neither socket nor descriptors."""
    before = descriptors()
    reaper = ProcessReaper()
    server = SocketTimerServer(path, max_interval=60, reaper=reaper)
    server.start()
    server.start()
    worker = employ()
    own = 2  # the pipes of the worker
    assert worker.ask("client.acquire('s', time.time() + 60)") == "None"
    assert worker.ask("[opened() for _ in range(3)] and greeted() and None") == "None"
    assert descriptors() > before + own
    began = time.monotonic()
    server.stop()

    assert time.monotonic() - began < LIMIT / 2
    assert not Path(path).exists()
    reaper.close()
    server.stop()
    assert descriptors() == before + own


def test_a_path_at_which_another_server_listens_is_refused(
    server: SocketTimerServer, clock: VirtualClock, hire: Hire, path: str
) -> None:
    """A second server at a path is refused, and the first one goes on."""
    second = SocketTimerServer(path, clock=clock)
    with pytest.raises(OSError, match=r"^\[Errno 98\] another server listens: '.*timers'$"):
        second.start()
    second.stop()

    worker = hire()
    assert worker.ask(f"client.acquire('s', {START + 60})") == "None"
    assert table(server) == {(worker.pid, "s"): START + 60}


def test_a_path_at_which_something_hangs_is_refused(path: str) -> None:
    """A server whose backlog is full is another server too, and nobody waits for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hanging:
        hanging.bind(path)
        hanging.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.connect(path)
            server = SocketTimerServer(path)
            with pytest.raises(OSError, match=r"^\[Errno 98\] another server listens: "):
                server.start()
    assert Path(path).exists()


def test_another_file_is_never_taken_away(tmp_path: Path) -> None:
    """A path at which there is something else than a socket is refused, and what is there stays."""
    (tmp_path / "notes").write_text("mine")
    server = SocketTimerServer(str(tmp_path / "notes"))

    with pytest.raises(FileExistsError, match=r"^\[Errno 17\] a socket is made at a path where nothing is, or a socke"):
        server.start()
    server.stop()
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "text"),
    [("n" * 108, "no socket can be made: AF_UNIX path too long: '.*n'"), ("no/where", "no socket can be made: .*")],
)
def test_a_path_that_cannot_be_bound_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """A path that is too long, or in a folder that is not there, is refused with the reason; no descriptor stays."""
    before = descriptors()
    server = SocketTimerServer(str(tmp_path / name))
    with pytest.raises(OSError, match=text) as raised:
        server.start()
    server.stop()

    assert raised.value.errno is not None
    assert (descriptors(), list(tmp_path.iterdir())) == (before, [])


def test_without_a_server_a_client_is_told_within_a_second(path: str) -> None:
    """A client that finds nobody looks ten times, a tenth of a second apart, then raises ConnectionRefusedError."""
    clock = VirtualClock(START)
    client = SocketTimerClient(path, clock=clock)

    with pytest.raises(ConnectionRefusedError, match=r"no SocketTimerServer answers: No such file or directory: "):
        client.acquire("s", START + 60)
    assert clock.time() == pytest.approx(START + 0.9)


def test_threads_share_a_client(server: SocketTimerServer, hire: Hire) -> None:
    """Eight threads that use one client, half of them with refused requests, get each the answer to its own."""
    worker = hire()

    assert worker.ask("threaded(8, 50)") == "[]"
    expected = {(worker.pid, f"{index}.{number}") for index in (1, 3, 5, 7) for number in range(50)}
    assert set(server._timers) == expected


def test_a_hello_is_bound_to_the_start_that_the_kernel_knows(server: SocketTimerServer, hire: Hire) -> None:
    """Who says when it really started is let in, and its connection has the identity of its process."""
    worker = hire()
    assert worker.ask(f"greeted({start_ticks(worker.pid)}) and None") == "None"

    (connection,) = server._socket._connections.values()
    assert connection.incarnation is not None
    assert connection.incarnation.pid == worker.pid


ENDING = """
import atexit, sys, time
atexit.register(time.sleep, 0.3)  # runs after what is registered later
from timersim import SocketTimerServer
server = SocketTimerServer(sys.argv[1], max_interval=0.02)
server.start()
time.sleep(0.1)
"""


def test_a_program_may_end_while_its_watchdog_runs(path: str) -> None:
    """Who never stops the server has a watchdog to the end of the program, and reads nothing about it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDING, path], capture_output=True, text=True, timeout=LIMIT, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
