"""Simulated worlds: one watchdog in virtual time, ours or somebody else's."""

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import timersim
from tests.fakes import strangers
from tests.fakes.strangers import PollingWatchdog
from timersim.fakes import SimulatedWorld, VirtualClock, simulated_world
from timersim.memory_timer import MemoryTimerServer

START = 1_000_000.0


def test_only_the_hung_rank_is_reaped(timer_world: SimulatedWorld) -> None:
    """Whoever is through in time is spared, and whoever is not is reaped: the example of the documentation."""
    with timersim.expires(after=3600, client=timer_world.client("rank3")):
        with timersim.expires(after=60, client=timer_world.client("rank4")):
            timer_world.clock.advance(10)
        timer_world.clock.advance(3600)

    assert timer_world.server.reaped == ["rank3"]


@pytest.mark.parametrize(("seconds", "reaped"), [(3599, []), (3600, ["rank"]), (3601, ["rank"])])
def test_a_rank_is_reaped_when_it_is_due(seconds: float, reaped: list[str]) -> None:
    """Nobody is reaped a second before the expiration, and whoever is hung is reaped at it."""
    with simulated_world() as world:
        world.client("rank").acquire("step", START + 3600)
        world.clock.advance(seconds)

        assert world.server.reaped == reaped


def test_a_world_has_what_a_server_needs() -> None:
    """A world has a clock at `start`, a queue of that clock, the interval, a hand that reaps, and its server."""
    seen: list[tuple[object, ...]] = []

    def server(world: SimulatedWorld) -> MemoryTimerServer:
        seen.append((world.clock.time(), world.queue.clock is world.clock, world.max_interval, world.reap("anybody")))
        return MemoryTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)

    with simulated_world(server, max_interval=7, start=5_000_000.0) as world:
        assert type(world.server) is MemoryTimerServer

    assert seen == [(5_000_000.0, True, 7, True)]


def test_a_reap_is_the_hand_that_the_world_was_given() -> None:
    """A server's reaps go to the hand that its world was made with."""
    victims: list[object] = []

    def hand(worker_id: object) -> bool:
        victims.append(worker_id)
        return True

    world = SimulatedWorld(reap=hand)
    with world.seat(MemoryTimerServer) as server:
        server.start()
        world.client(3).acquire("step", START + 5)
        world.clock.advance(5)
        server.stop()

    assert (victims, world.server.reaped) == ([3], [3])


def test_nothing_outlives_a_world() -> None:
    """At the end of the block the watchdog is stopped and no task is left, also where the block raises."""
    worlds: list[SimulatedWorld] = []

    def experiment() -> None:
        with simulated_world() as world:
            worlds.append(world)
            world.clock.spawn(lambda: world.clock.sleep(1e6), name="forgotten")
            world.clock.advance(1)
            raise LookupError

    with pytest.raises(LookupError):
        experiment()

    assert (worlds[0].clock.tasks, worlds[0].server._stopping.is_set()) == ([], True)


def test_what_a_test_spawns_is_not_the_servers() -> None:
    """A task that is made in the block is the caller's: it goes on while the server is paused."""
    log: list[float] = []

    def body() -> None:
        world.clock.sleep(1)
        log.append(world.clock.time() - START)

    with simulated_world() as world:
        task = world.clock.spawn(body, name="mine")
        world.clock.pause(world.group)
        world.clock.advance(2)
        names = [member.name for member in world.group.tasks]
        world.clock.resume(world.group)

    assert (log, names, task.alive) == ([1], ["MemoryTimerServer watchdog"], False)


def test_worlds_do_not_know_of_one_another() -> None:
    """Two worlds at a time have a time and a server each."""
    with simulated_world() as first, simulated_world() as second:
        for world in (first, second):
            world.client("rank").acquire("step", START + 5)
        first.clock.advance(5)

        assert (first.server.reaped, second.server.reaped, second.clock.time()) == (["rank"], [], START)


# Strangers


def stranger(world: SimulatedWorld) -> PollingWatchdog:
    """Makes somebody else's watchdog."""
    return PollingWatchdog(world.queue, world.max_interval)


@pytest.mark.parametrize("server", [stranger, PollingWatchdog])
def test_a_stranger_lives_an_hour(server: Callable[..., Any]) -> None:
    """A watchdog with threads, sleeps and kills of its own lives a virtual hour, unmodified."""
    before = set(threading.enumerate())
    with simulated_world(server, max_interval=30) as world:
        world.client(5_000_001).acquire("step", START + 3600)
        world.client(5_000_002).acquire("step", START + 3600)
        world.clock.advance(3599)
        early = list(world.server.killed)
        world.client(5_000_002).release("step")
        world.clock.advance(61)

        assert (early, world.server.killed) == ([], [5_000_001])
        assert (world.clock.time(), set(threading.enumerate()) - before) == (START + 3660, set())


def test_a_strangers_modules_are_given_back() -> None:
    """After the block, and where it raises, the stranger's names are what they were."""
    names = ("time", "sleep", "threading", "queue", "os")
    before = [getattr(strangers, name) for name in names]
    inside: list[object] = []

    def experiment() -> None:
        with simulated_world(stranger):
            inside.extend(getattr(strangers, name) for name in names)
            raise LookupError

    with pytest.raises(LookupError):
        experiment()

    assert [getattr(strangers, name) for name in names] == before == [time.time, time.sleep, threading, queue, os]
    assert not any(changed is original for changed, original in zip(inside, before, strict=True))


def test_a_kill_goes_to_the_hand_of_the_world() -> None:
    """A stranger's `os.kill` reaches the world's `kill`, and no process."""
    kills: list[tuple[int, int]] = []
    world = SimulatedWorld(max_interval=10, kill=lambda pid, number: kills.append((pid, number)))
    with world.seat(stranger) as server:
        server.start()
        world.client(os.getpid()).acquire("step", START + 5)
        world.clock.advance(10)
        world.clock.close()

    assert kills == [(os.getpid(), 9)]


@pytest.mark.parametrize("server", [stranger, PollingWatchdog])
def test_a_strangers_constructor_is_in_the_world_too(server: Callable[..., Any]) -> None:
    """What a stranger asks for or makes in its constructor is virtual as well: it may make its events there."""
    with simulated_world(server) as world:
        assert world.server.made_at == START


def test_modules_can_be_named() -> None:
    """The modules that are named are bent, and no others."""
    world = SimulatedWorld()
    with world.seat(stranger, modules=["tests.fakes.strangers"]):
        assert world.server.made_at == START
    with world.seat(stranger, modules=[]):
        assert world.server.made_at != START


@pytest.mark.torch
def test_a_stranger_on_torch_lives_an_hour() -> None:
    """A subclass of torch's `TimerServer`, unmodified, with torch's own loop and thread, lives a virtual hour."""
    pytest.importorskip("torch")
    from tests.fakes.torch_strangers import PidTimerServer

    kills: list[tuple[int, int]] = []
    world = SimulatedWorld(max_interval=30, kill=lambda pid, number: kills.append((pid, number)))
    before = set(threading.enumerate())
    with world.seat(PidTimerServer) as server:
        server.start()
        world.client(5_000_001).acquire("step", START + 3600)
        world.client(5_000_002).acquire("step", START + 60)
        world.clock.advance(50)
        world.client(5_000_002).release("step")
        world.clock.advance(3570)
        threads = set(threading.enumerate()) - before
        server.stop()

    assert (world.server.reaped, kills, threads) == ([(5_000_001, START + 3620)], [(5_000_001, 9)], set())
    assert world.clock.tasks == []


@pytest.mark.torch
@pytest.mark.parametrize("wait", [29, 30, 31])
def test_a_stranger_on_torch_may_reap_by_a_call(wait: float) -> None:
    """A server that is made by a function, and reaps by a call, reaps within its interval."""
    pytest.importorskip("torch")
    from tests.fakes.torch_strangers import JobTimerServer

    def slurm(world: SimulatedWorld) -> JobTimerServer:
        return JobTimerServer(world.queue, max_interval=30, cancel=world.reap)

    with simulated_world(slurm) as world:
        world.clock.advance(10)
        world.client("rank3").acquire("step", START + 11)
        world.clock.advance(wait)

        assert world.server.reaped == ([("rank3", START + 40)] if wait >= 30 else [])


def test_the_pytest_views_are_of_one_world(
    timer_world: SimulatedWorld, virtual_clock: VirtualClock, timer_server: Any, timer_client: Callable[[str], Any]
) -> None:
    """The fixtures of the plugin are views of one world."""
    timer_client("rank").acquire("step", START + 5)
    virtual_clock.advance(5)

    assert (timer_server is timer_world.server, timer_server.reaped) == (True, ["rank"])
