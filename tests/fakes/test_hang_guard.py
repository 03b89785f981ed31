"""The hang guard: who blocks the one thread of virtual time is named, in real time, and where it can be is ended.

Each case is a process of its own: what blocks must not block the suite.
"""

import subprocess
import sys
from textwrap import dedent

import pytest

from tests.quick import one_in

BEGIN = """
import os, signal, socket, sys, threading, time
from timersim.fakes import HoldTimeout, VirtualClock, hang_guard
from timersim.fakes.hang_guard import HangError
from timersim.fakes.tasks import TaskGroup

hang_guard.HANG_LIMIT = 0.4
clock = VirtualClock()
free, taken = socket.socketpair()

def spin():
    while True:
        pass

def go(*bodies, seconds=10):
    for body in bodies:
        clock.spawn(body, name=body.__name__)
    try:
        clock.advance(seconds)
    except RuntimeError as error:
        print(type(error) is HangError, error, *getattr(error, "__notes__", ()), sep="\\n")
    else:
        print("came back at", clock.monotonic())
"""


def run(body: str, *, before: str = "") -> tuple[list[str], str]:
    """Runs a program with a small limit in a process of its own; returns the lines of its output, and its errors."""
    program = before + BEGIN + dedent(body)
    command = [sys.executable, "-c", "import sys; exec(sys.stdin.read())"]  # of `-c` 3.13 has the source at hand
    process = subprocess.run(command, input=program, capture_output=True, text=True, timeout=30)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines(), process.stderr


def line_of(body: str, text: str) -> int:
    """Returns the line of the program that has this text."""
    return next(n for n, line in enumerate((BEGIN + dedent(body)).splitlines(), 1) if text in line)


def sentence(who: str, where: str, t: str = "1000005.0") -> str:
    """Returns what the guard says."""
    return f"{who} has not come back to the clock for 0.4 s of real time, at t={t}: it blocks at {where}"


def test_a_busy_loop_is_ended_and_named() -> None:
    """A task that never asks the clock is ended with HangError: its name, the instant and where it is."""
    body = """
    def watchdog():
        clock.sleep(5)
        spin()

    go(watchdog)
    print(clock.tasks, clock.monotonic())
    clock.advance(5)
    print(clock.monotonic())
    """
    lines, errors = run(body)

    place = (
        f"<string>:{line_of(body, 'while True')} in spin, called at <string>:{line_of(body, '    spin()')} in watchdog"
    )
    passes = place.replace(str(line_of(body, "while True")), str(line_of(body, "while True") + 1), 1)
    assert lines[1] in (sentence("the task 'watchdog'", place), sentence("the task 'watchdog'", passes))
    assert (lines[0], lines[2:]) == (
        "True",
        ["in task 'watchdog' at t=1000005.0", "[] 1000005.0", "1000010.0"],
    )
    assert errors == ""


BLOCKED = {
    "lock": "lock.acquire()",
    "recv": "free.recv(1)",
    "sleep": "time.sleep(60)",
    "join": "threading.Thread(target=time.sleep, args=(60,), daemon=True).run()",
}


@pytest.mark.parametrize("call", BLOCKED.values(), ids=BLOCKED.keys())
def test_a_call_that_does_not_return_is_interrupted_and_named(call: str) -> None:
    """In the main thread a lock that another task holds, a socket and a sleep in real time end with HangError too."""
    body = f"""
    lock = threading.Lock()

    def holder():
        with lock:
            clock.sleep(60)

    def blocked():
        clock.sleep(5)
        {call}

    go(holder, blocked)
    clock.close()
    print(clock.tasks)
    """
    lines, errors = run(body)

    place = f"<string>:{line_of(body, '    ' + call)} in blocked"
    if "Thread" in call:
        assert lines[1].startswith(sentence("the task 'blocked'", "threading.py:"))
        assert lines[1].endswith(f"called at {place}")
    else:
        assert lines[1] == sentence("the task 'blocked'", place)
    assert [lines[0], *lines[2:]] == [
        "True",
        "the other tasks: <task 'holder' waits for its sleep>",
        "in task 'blocked' at t=1000005.0",
        "[]",
    ]
    assert errors == f"timersim: {lines[1]}\n"


def test_the_source_of_the_place_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the source is at hand the sentence has the line."""
    folder = tmp_path_factory.mktemp("servers")
    (folder / "my_server.py").write_text("def loop(lock):\n    with lock:\n        pass\n")
    lines, _ = run(
        f"""
        sys.path.insert(0, {str(folder)!r})
        import my_server
        lock = threading.Lock()
        lock.acquire()

        def watchdog():
            my_server.loop(lock)

        go(watchdog)
        """
    )

    assert lines[1].startswith(
        sentence("the task 'watchdog'", "my_server.py:2 in loop (with lock:), called at <string>:", "1000000.0")
    )


@pytest.mark.parametrize(
    "elsewhere",
    ["signal.signal(signal.SIGINT, lambda *_: print('mine'))\nrelease()\ngo(blocked)", "release()\nin_a_thread()"],
    ids=["a handler of one's own", "another thread"],
)
def test_where_no_interrupt_may_be_sent_the_sentence_is_heard_once(elsewhere: str) -> None:
    """Where SIGINT is somebody's own, or another thread blocks, standard error has the sentence once; then it ends."""
    body = """
    lock = threading.Lock()
    lock.acquire()

    def blocked():
        lock.acquire()
        spin()

    def release():
        def later():
            time.sleep(2.5)
            lock.release()
        threading.Thread(target=later, daemon=True).start()

    def in_a_thread():
        def body():
            global clock
            clock = VirtualClock()
            go(blocked)
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    """
    program = dedent(body) + elsewhere + "\n"
    lines, errors = run(program)

    place = f"<string>:{line_of(program, '    lock.acquire()')} in blocked"
    assert lines[0] == "True"
    assert errors == f"timersim: {sentence(chr(39).join(['the task ', 'blocked', '']), place, '1000000.0')}\n"
    assert "mine" not in lines


@pytest.mark.parametrize(
    ("swallow", "stderr"),
    [("except Exception", 0), ("except BaseException", 0)],
)
def test_a_hang_that_a_task_swallows_ends_it_all_the_same(swallow: str, stderr: int) -> None:
    """A task that catches the HangError, and goes on to wait for the clock, has ended by it."""
    lines, errors = run(
        f"""
        def watchdog():
            while True:
                try:
                    spin()
                {swallow}:
                    clock.sleep(1)

        go(watchdog)
        print(clock.tasks, clock.pending)
        """
    )

    assert lines[1].startswith(sentence("the task 'watchdog'", "<string>:", "1000000.0"))
    assert (lines[0], lines[2:]) == ("True", ["in task 'watchdog' at t=1000000.0", "[] []"])
    assert errors.count("\n") == stderr


def test_a_group_bears_the_hang_of_its_task() -> None:
    """A group with `on_error` is told of the hang, as of any error, and the others go on."""
    lines, _ = run(
        """
        group = TaskGroup("server", lambda task, error: print(task.name, type(error) is HangError))
        with clock.group(group):
            clock.spawn(spin, name="server")
        go(lambda: clock.sleep(3))
        """
    )

    assert lines == ["server True", "came back at 1000010.0"]


def test_what_blocks_outside_of_tasks_is_named_too() -> None:
    """A call that is due, and a predicate, are named as what runs outside of tasks; the clock can be used again."""
    body = """
    clock.call_later(5, spin)
    go()
    clock.call_later(1, lambda: time.sleep(60))
    go()
    go()
    """
    lines, _ = run(body)

    assert lines[1].startswith(sentence("what runs outside of tasks", "<string>:"))
    assert lines[3].startswith(sentence("what runs outside of tasks", "<string>:", "1000006.0"))
    assert (lines[0], lines[2], lines[4:]) == ("True", "True", ["came back at 1000016.0"])


def test_a_hang_is_over_when_it_was_raised() -> None:
    """An interrupt by hand is an interrupt again, and nobody is blamed for the hang of another."""
    lines, _ = run(
        """
        def interrupt():
            signal.raise_signal(signal.SIGINT)

        clock.call_later(5, spin)
        go()
        clock.call_later(1, interrupt)
        try:
            go()
        except KeyboardInterrupt as error:
            print(type(error).__name__)
        """
    )

    assert (lines[0], lines[2:]) == ("True", ["KeyboardInterrupt"])


def test_a_hang_that_arrives_when_the_turn_is_over_ends_the_task() -> None:
    """Where all of a task is one long call, the HangError comes at its end, and the task is not left half dead."""
    lines, _ = run(
        """
        def body():
            global clock
            clock = VirtualClock()
            clock.spawn(lambda: clock.sleep(60), name="other")
            clock.spawn(functools.partial(time.sleep, 1.5), name="long")
            go(seconds=1)
            print(clock.tasks)
            clock.close()

        import functools
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """
    )

    assert lines == [
        "True",
        sentence("the task 'long'", "a call that is not Python's", "1000000.0"),
        "the other tasks: <task 'other' waits for its sleep>",
        "in task 'long' at t=1000000.0",
        "[<task 'other' waits for its sleep>]",
    ]


def test_a_task_that_hangs_while_it_is_killed_is_named() -> None:
    """A `finally` block that never ends is ended, though no time is told to pass."""
    lines, _ = run(
        """
        group = TaskGroup("worker")
        def worker():
            try:
                clock.sleep(60)
            finally:
                spin()
        with clock.group(group):
            clock.spawn(worker, name="worker")
        clock.advance(5)
        try:
            clock.kill(group)
        except HangError as error:
            print(error)
        print(clock.tasks)
        """
    )

    assert lines[0].startswith(sentence("the task 'worker'", "<string>:"))
    assert lines[1:] == ["[]"]


INNOCENT = {
    "many turns": """
        def busy():
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                clock.sleep(0.001)
        go(busy)
        """,
    "many turns at one instant": """
        def busy():
            for _ in range(30):
                time.sleep(0.05)
                clock.sleep(0)
        go(busy)
        """,
    "many calls at one instant": """
        for _ in range(30):
            clock.call_later(5, lambda: time.sleep(0.05))
        go()
        """,
    "a driver that takes its time": """
        clock.spawn(lambda: clock.sleep(20), name="sleeper")
        clock.advance(1)
        time.sleep(1.5)
        clock.advance(9)
        print("came back at", clock.monotonic())
        """,
    "many runs of another clock": """
        def driver():
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                inner = VirtualClock()
                inner.advance(1)
                time.sleep(0.05)
        go(driver)
        """,
    "a hold": """
        def asker():
            with clock.hold("worker 1: acquire"):
                clock.sleep(1.5)
        go(asker)
        """,
    "a hold of the driver": """
        with clock.hold("worker 1: acquire"):
            clock.wait_readable([free.fileno()], 1.5)
        go()
        """,
    "a debugger": """
        def debugged():
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                pass
        sys.settrace(lambda *_: None)
        go(debugged)
        """,
    "a debugger that came in a task": """
        def debugged():
            sys._getframe().f_trace = lambda *_: None
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                pass
        go(debugged)
        """,
}


@pytest.mark.parametrize("body", one_in(5, INNOCENT.values(), names=INNOCENT))
def test_who_comes_back_to_the_clock_is_not_accused(body: str) -> None:
    """Neither many turns, nor a driver, a hold or a debugger is taken for a hang, however long they last."""
    assert run(body) == (["came back at 1000010.0"], "")


def test_a_process_that_was_stopped_has_not_hung() -> None:
    """Real time in which the process did not run does not count."""
    lines, _ = run(
        """
        import subprocess
        hang_guard.HANG_LIMIT = 2.0

        def body():
            stop = "sleep 0.6; kill -STOP $PPID; sleep 3; kill -CONT $PPID"
            with subprocess.Popen(["/bin/sh", "-c", stop]) as process:
                while process.poll() is None:
                    pass
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

        go(body)
        """
    )

    assert lines == ["came back at 1000010.0"]


# The guard's own thread


def test_the_guard_is_nobodys_leftover_and_goes_by_itself() -> None:
    """The guard's thread is in no list of threads, keeps no clock alive, and goes when no clock runs any more."""
    lines, _ = run(
        """
        import gc, weakref
        hang_guard.LINGER = 1.0
        def threads():
            return len(os.listdir("/proc/self/task"))
        counts = [threads()]
        go()
        counts += [threads(), len(threading.enumerate())]
        seen = weakref.ref(clock)
        time.sleep(0.25)
        del clock
        gc.collect()
        print(seen())
        end = time.monotonic() + 10
        while threads() > 1 and time.monotonic() < end:
            time.sleep(0.01)
        counts.append(threads())
        clock = VirtualClock()
        go(seconds=1)
        print([*counts, threads()])
        """
    )

    assert lines == ["came back at 1000010.0", "None", "came back at 1000001.0", "[1, 2, 1, 1, 2]"]


COUNT = """
import os
counts = []

def count():
    counts.append(len(os.listdir("/proc/self/task")))

os.register_at_fork(before=count)  # what was registered last comes first, so this after the guard's
"""


def test_a_fork_has_one_thread_and_a_guard_of_its_own() -> None:
    """At a fork the process has one thread, as Python wants it; afterwards the guard is back in both."""
    lines, _ = run(
        """
        def forks():
            count()
            pid = os.fork()
            if pid == 0:
                spin()
            os.waitpid(pid, 0)
            spin()

        clock.advance(1)
        go(forks)
        print(counts)
        """,
        before=COUNT,
    )

    assert lines.count("True") == 2
    assert sum(line.startswith(sentence("the task 'forks'", "<string>:", "1000001.0")) for line in lines) == 2
    assert lines.count("[2, 1]") == 2
