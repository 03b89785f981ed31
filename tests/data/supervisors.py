"""Supervisors as their users would write them: one that is right, and some of which each is wrong in its own way."""

import multiprocessing
import threading
import time
import warnings
from multiprocessing.process import BaseProcess
from typing import Any


class PollingSupervisor:
    """Forks a process for each task, and looks every few milliseconds for those whose time is up."""

    interval = 0.005

    def __init__(self) -> None:
        self.processes: list[tuple[BaseProcess, float]] = []
        self._is_stopped = False
        self._asking = threading.Lock()  # whoever asks a Process while another thread reaps it hears that it lives
        self._watchdog = threading.Thread(target=self._watch, name="supervisor")

    def start(self) -> None:
        """Starts the watchdog."""
        self._watchdog.start()

    def submit(self, task: Any, timeout: float) -> None:
        """Starts a process that is to be killed `timeout` seconds later."""
        process = multiprocessing.get_context("fork").Process(target=task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, from Python 3.12 on
            process.start()
        self.processes.append((process, time.monotonic() + timeout))

    def stop(self) -> None:
        """Ends the watchdog, and whoever is there."""
        self._is_stopped = True
        self._watchdog.join()
        for process, _ in self.processes:
            process.kill()
            process.join()
            process.close()

    def _watch(self) -> None:
        while not self._is_stopped:
            time.sleep(self.interval)  # it polls
            with self._asking:
                self._look()

    def _look(self) -> None:
        for process, due in list(self.processes):
            if process.is_alive() and self._is_overdue(due):
                self._end(process)

    def _is_overdue(self, due: float) -> bool:
        return due <= time.monotonic()

    def _end(self, process: BaseProcess) -> None:
        process.kill()


class NeverKills(PollingSupervisor):
    """Says that it would."""

    def _end(self, process: BaseProcess) -> None: ...


class KillsTheWrongOne(PollingSupervisor):
    """Kills the task that was submitted last, whosever time is up."""

    def _end(self, process: BaseProcess) -> None:
        running = [other for other, _ in self.processes if other.is_alive()]
        running[-1].kill()


class KillsEarly(PollingSupervisor):
    """Takes a second off every timeout."""

    def _is_overdue(self, due: float) -> bool:
        return super()._is_overdue(due - 1)


class EndsPolitely(PollingSupervisor):
    """Asks a task to end, which one that is stopped does not hear."""

    def stop(self) -> None:
        """Asks whoever is there to end, and gives them some seconds."""
        self._is_stopped = True
        self._watchdog.join()
        for process, _ in self.processes:
            process.terminate()
            process.join(5)
        self.exits = [process.exitcode for process, _ in self.processes]
        super().stop()

    def _end(self, process: BaseProcess) -> None:
        process.terminate()


class GoesDeaf(PollingSupervisor):
    """Takes no more tasks once one of them has crashed."""

    def submit(self, task: Any, timeout: float) -> None:
        """Refuses where a task has died by a signal."""
        with self._asking:
            is_broken = any(process.exitcode not in {None, 0} for process, _ in self.processes)
        if is_broken:
            raise RuntimeError("the pool is broken")
        super().submit(task, timeout)


class LosesTasks(PollingSupervisor):
    """Takes every second task, and forgets it."""

    def submit(self, task: Any, timeout: float) -> None:
        """Starts a process, or does not."""
        self._count = getattr(self, "_count", 0) + 1
        if self._count < 2:
            super().submit(task, timeout)


class LeavesThemBehind(NeverKills):
    """Stops, and leaves its tasks to themselves."""

    def stop(self) -> None:
        """Ends the watchdog alone."""
        self._is_stopped = True
        self._watchdog.join()


class IsSlowToBegin(PollingSupervisor):
    """Thinks for a third of a second before it begins a task."""

    def submit(self, task: Any, timeout: float) -> None:
        """Starts a process, later."""
        time.sleep(0.3)  # it is as slow as that
        super().submit(task, timeout)


class RaisesInStop(PollingSupervisor):
    """Complains when it has stopped."""

    def stop(self) -> None:
        """Stops, and raises."""
        super().stop()
        raise LookupError("who was that?")


class RunsThemInThreads:
    """Runs its tasks in the process of who calls it, where nothing can be killed."""

    def start(self) -> None:
        self._threads: list[threading.Thread] = []

    def submit(self, task: Any, timeout: float) -> None:
        self._threads.append(threading.Thread(target=task))
        self._threads[-1].start()

    def stop(self) -> None:
        for thread in self._threads:
            thread.join()


class CannotStart(PollingSupervisor):
    """Has no license."""

    def start(self) -> None:
        """Raises."""
        raise OSError("no license")


class HasOtherMethods:
    """What a scheduler calls by other names, or with other arguments."""

    def start(self, port: int) -> None: ...

    def submit(self, task: Any) -> None: ...
