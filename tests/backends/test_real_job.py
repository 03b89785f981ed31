"""A real process in a real guarded block, and an hour of virtual time."""

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import timersim
from timersim.fakes import VirtualClock
from timersim.local_timer import LocalTimerClient, LocalTimerServer

if TYPE_CHECKING:
    from multiprocessing.queues import Queue


def hang(queue: "Queue[Any]", ready: Connection) -> None:
    """Enters a guarded block of an hour and never leaves it."""
    with timersim.expires(after=3600, client=LocalTimerClient(queue, clock=VirtualClock())):
        ready.send(os.getpid())
        signal.pause()


def test_a_hung_process_is_dead_after_an_hour_that_takes_no_time() -> None:
    """`with expires(after=3600)` around a hung real process ends in a SIGKILLed process within seconds."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ours, theirs = context.Pipe()
    worker = context.Process(target=hang, args=(queue, theirs))
    worker.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == worker.pid
        clock = VirtualClock()
        server = LocalTimerServer(queue, max_interval=60, clock=clock)
        server.start()
        with clock.hold("the worker: acquire"):
            clock.wait(lambda _: len(server._timers) == 1, timeout=60)
        began = time.monotonic()

        clock.advance(3599)
        assert worker.is_alive()
        clock.advance(1)
        worker.join(10)

        assert worker.exitcode == -signal.SIGKILL
        assert time.monotonic() - began < 10
        server.stop()
        clock.close()
    finally:
        worker.kill()
        worker.join()
        worker.close()
        for each in (queue, ours, theirs):
            each.close()
        queue.join_thread()
