"""The plugin's fixtures, in suites of their own."""

import json
import sys
from pathlib import Path

import pytest

from timersim.backends.names import EXAMPLES
from timersim.lab.operations import Acquire
from timersim.lab.saved import SavedSchedule
from timersim.lab.schedule import Schedule

pytest_plugins = ["pytester"]

OTHERS = ("anyio", "asyncio", "hypothesispytest", "nbmake", "platformdirs", "randomly", "timeout", "xdist")
"""The plugins of others, which take three quarters of a suite's start; test_plugin_company.py has them beside ours."""

HYPOTHESIS = ("-p", "hypothesispytest")
"""What lets Hypothesis's plugin in again: its health checks, and how it reports."""


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of its own, with our plugin alone."""
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in (*OTHERS, "xdist.looponfail")))
    return pytester


def test_a_world_and_its_views_are_one(pytester: pytest.Pytester) -> None:
    """`timer_world` and its views show one world, and each test has its own."""
    pytester.makepyfile(
        """
        import timersim

        def test_only_the_hung_rank_is_reaped(timer_world):
            with timersim.expires(after=3600, client=timer_world.client("rank3")):
                with timersim.expires(after=60, client=timer_world.client("rank4")):
                    timer_world.clock.advance(10)
                timer_world.clock.advance(3600)
            assert timer_world.server.reaped == ["rank3"]

        def test_views(timer_world, virtual_clock, timer_queue, timer_server, timer_client):
            assert virtual_clock is timer_world.clock
            assert timer_queue is timer_world.queue
            assert timer_server is timer_world.server
            timer_client("a").acquire("s", virtual_clock.time() + 5)
            virtual_clock.advance(5)
            assert timer_server.reaped == ["a"]
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_backends_go_with_given(pytester: pytest.Pytester) -> None:
    """The backends are session-scoped, so `@given` takes them, and no health check trips."""
    pytester.makepyfile(
        """
        from hypothesis import given, settings
        from timersim.lab import run
        from timersim.strategies import schedules

        @settings(max_examples=25, deadline=None)
        @given(schedules(max_workers=2))
        def test_simulated(simulated_backend, schedule):
            run(schedule, simulated_backend).check()

        @settings(max_examples=25, deadline=None)
        @given(schedules(max_workers=2))
        def test_real(process_backend, schedule):
            assert process_backend.is_real
            run(schedule, process_backend).check()
        """
    )
    pytester.runpytest_subprocess("-q", *HYPOTHESIS).assert_outcomes(passed=2)


def test_a_failure_is_a_timeline(pytester: pytest.Pytester) -> None:
    """A failing property shows the headline, the timeline and the line to paste."""
    pytester.makepyfile(
        """
        from hypothesis import given, settings
        from timersim.fakes import SimulatedBackend
        from timersim.fakes.broken_servers import without
        from timersim.lab import run
        from timersim.memory_timer import MemoryTimerServer
        from timersim.strategies import schedules

        BACKEND = SimulatedBackend(without("reap-once", MemoryTimerServer))

        @settings(deadline=None)
        @given(schedules())
        def test_mine(schedule):
            run(schedule, BACKEND).check()
        """
    )
    result = pytester.runpytest_subprocess("-q", *HYPOTHESIS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*ReapedOnce: reaped-once: worker 0 was reaped at t=*, and again at t=*",
            "*t  worker 0 *wire *server",
            "*MUST NOT: reaped already",
            '*replay: @example(Schedule([[]Acquire(0, "s0", after=*)[]]))',
        ]
    )


def test_an_unused_plugin_imports_nothing_of_ours(pytester: pytest.Pytester) -> None:
    """A suite that uses nothing of timersim loads its plugin alone, and no psutil or greenlet by it."""
    pytester.makepyfile(
        """
        import sys

        def test_loaded():
            ours = {name for name in sys.modules if name.startswith("timersim")}
            assert ours == {"timersim", "timersim.lazy", "timersim.pytest_plugin"}
            assert not {"psutil", "greenlet", "freezegun"} & sys.modules.keys()
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:hypothesispytest", "-p", "no:randomly").assert_outcomes(passed=1)


BROKEN = """
    import pytest
    from timersim.fakes import SimulatedBackend
    from timersim.fakes.broken_servers import without
    from timersim.lab import Acquire, Schedule, run
    from timersim.memory_timer import MemoryTimerServer

    BACKEND = SimulatedBackend(without("reap-once", MemoryTimerServer){spec})

    def test_mine():
        run(Schedule([Acquire(0, "s0", after=0)]), BACKEND).check()
"""
REFUSED = """
    def test_refused():
        BACKEND.operations = frozenset()
        run(Schedule([Acquire(0, "s0", after=0)]), BACKEND)
"""
SPEC = ', spec={"name": "memory", "without": "reap-once"}'
TIMELINE = [
    '  Schedule([Acquire(0, "s0", after=0)])  on memory',
    "",
    "  t  worker 0        wire     server",
    "  0  acquire s0 ->0  acquire  armed, due 0",
    "     reaped                   reaps worker 0: MAY",
    "                              MUST NOT: reaped already",
    "  reap of worker 0: 0 -- MUST -- 0 -- GONE --",
    "                                      ^ reaped at t=0",
]


def section(result: pytest.RunResult, title: str) -> list[str]:
    """Returns the lines of a section of a failure's report."""
    lines = result.outlines
    begin = next(n for n, line in enumerate(lines) if line.strip("-_") == f" {title} ")
    end = next(n for n in range(begin + 1, len(lines)) if lines[n].startswith(("---", "===", "___")))
    return lines[begin + 1 : end]


def test_a_failing_test_shows_its_worlds_story(pytester: pytest.Pytester) -> None:
    """The report of a failing test that used a world has a section with what was requested and reaped, and when."""
    pytester.makepyfile(
        """
        def test_it(timer_client, virtual_clock):
            client = timer_client("rank 3")
            client.acquire("load", virtual_clock.time() + 60)
            virtual_clock.advance(0.5)
            client.release("load")
            timer_client(4).acquire("load", virtual_clock.time() + 7)
            virtual_clock.advance(3600)
            assert False
        """
    )
    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=1)
    assert section(result, "timersim") == [
        "in the test's world, in seconds from its beginning:",
        "    0  rank 3  acquire load ->60",
        "  0.5  rank 3  release load",
        "  0.5  4       acquire load ->7.5",
        "  7.5  4       reaped",
    ]


def test_a_passing_test_and_an_empty_world_show_nothing(pytester: pytest.Pytester) -> None:
    """No section is added where a test passes, or where nothing happened in its world."""
    pytester.makepyfile(
        """
        def test_green(timer_client, virtual_clock):
            timer_client("rank 3").acquire("load", virtual_clock.time() + 60)

        def test_red(timer_world):
            assert False

        def test_without():
            assert False
        """
    )
    result = pytester.runpytest_subprocess("-q", "-rA")

    result.assert_outcomes(passed=1, failed=2)
    assert not any(line.strip("-") == " timersim " for line in result.outlines)


def test_a_broken_invariant_is_saved_once_and_replayed(pytester: pytest.Pytester) -> None:
    """A violation on a backend that can be made again is saved, and the section has the line that replays it."""
    pytester.makepyfile(BROKEN.replace("{spec}", SPEC))

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=1)
    files = [path.name for path in (pytester.path / "timersim-failures").iterdir()]
    assert len(files) == 1
    assert section(result, "timersim") == [f"replay: timersim replay timersim-failures/{files[0]}"]
    replayed = pytester.run(sys.executable, "-m", "timersim", "replay", f"timersim-failures/{files[0]}")
    assert (replayed.ret, replayed.outlines[0]) == (1, f"{files[0].removesuffix('.timersim.json')}   STILL FAILS")


def test_a_backend_that_nothing_rebuilds_is_replayed_by_pasting(pytester: pytest.Pytester) -> None:
    """Without what rebuilds its backend a violation is not saved; the section has the line to paste, and where."""
    pytester.makepyfile(BROKEN.replace("{spec}", ""))

    result = pytester.runpytest_subprocess("-q")

    name = pytester.path.name[:-1]
    assert section(result, "timersim") == [
        f'replay: paste @example(Schedule([Acquire(0, "s0", after=0)])) above {name}.py::test_mine'
    ]
    assert not (pytester.path / "timersim-failures").exists()


OWN = """
from timersim.fakes import SimulatedBackend
from timersim.lab import Contract
from timersim.memory_timer import MemoryTimerServer

class Forgetful(MemoryTimerServer):
    def clear_timers(self, worker_ids):
        pass

def forgetful(world):
    return Forgetful(world.queue, world.max_interval, clock=world.clock, reaper=world.reap)

BACKEND = SimulatedBackend(forgetful, contract=Contract(reap_within=30), max_interval=30)
"""
OWN_TEST = """
from timersim.lab import Acquire, Schedule, run
from my_server import BACKEND

def test_mine():
    run(Schedule([Acquire(0, "s0", after=5)]), BACKEND).check()
"""


def test_a_server_of_the_users_is_saved_by_its_name(pytester: pytest.Pytester) -> None:
    """What is saved of a user's backend are its arguments and MODULE:NAME, and `replay` makes it again."""
    pytester.makepyfile(my_server=OWN, test_it=OWN_TEST)

    result = pytester.runpytest_subprocess("-q")

    [file] = (pytester.path / "timersim-failures").iterdir()
    assert json.loads(file.read_text())["backend"] == {
        "name": "memory",
        "server": "my_server:forgetful",
        "max_interval": 30,
        "contract": {"reap_within": 30},
    }
    assert section(result, "timersim") == [f"replay: timersim replay timersim-failures/{file.name}"]
    # -I: the command itself doesn't have the current folder in sys.path, where pytester's PYTHONPATH puts it
    replayed = pytester.run(sys.executable, "-I", "-m", "timersim", "replay", "timersim-failures")
    assert (replayed.ret, replayed.outlines[0].split()[1:]) == (1, ["STILL", "FAILS"])
    pytester.runpytest_subprocess("-q", "timersim-failures").assert_outcomes(failed=1)


def test_a_server_that_only_pytest_finds_is_replayed_by_pasting(pytester: pytest.Pytester) -> None:
    """A server beside its test, in a folder that pytest has put into sys.path, is nothing that `replay` could find."""
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "my_server.py").write_text(OWN)
    (pytester.path / "tests" / "test_it.py").write_text(OWN_TEST)

    result = pytester.runpytest_subprocess("-q")

    assert section(result, "timersim") == [
        'replay: paste @example(Schedule([Acquire(0, "s0", after=5)])) above tests/test_it.py::test_mine'
    ]
    assert not (pytester.path / "timersim-failures").exists()


def test_saved_schedules_are_tests(pytester: pytest.Pytester) -> None:
    """A folder of saved schedules is a suite: what is fixed passes, what still fails shows the failing test case."""
    folder = pytester.path / "regressions"
    schedule = Schedule([Acquire(0, "s0", after=0)])
    SavedSchedule("fixed", ["reaped-once"], {"name": "memory"}, schedule).save(folder)
    SavedSchedule("broken", ["reaped-once"], {"name": "memory", "without": "reap-once"}, schedule).save(folder)

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(passed=1, failed=1)
    begin = result.outlines.index("____________________________________ broken ____________________________________")
    assert result.outlines[begin + 1 : begin + 3 + len(TIMELINE)] == [
        "STILL FAILS: reaped-once: worker 0 was reaped at t=0, and again at t=0",
        *TIMELINE,
        f"  replay: timersim replay {folder / 'broken.timersim.json'}",
    ]


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (
            {"name": "memory", "server": "gone:x"},
            "the server 'gone:x' can't be imported: ModuleNotFoundError: *",
        ),
        ({"name": "abacus"}, "there is no backend 'abacus'; there are " + ", ".join(EXAMPLES)),
    ],
)
def test_a_saved_schedule_without_its_backend_needs_a_test(
    pytester: pytest.Pytester, backend: dict[str, str], reason: str
) -> None:
    """A file whose backend can't be made again fails, says why, and gives the line for a test of one's own."""
    SavedSchedule("lost", ["reaped-once"], backend, Schedule([Acquire(0, "s0", after=5)])).save(pytester.path)

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"lost.timersim.json needs a test of your own, since its backend can't be made here: {reason}",
            '  @example(Schedule([[]Acquire(0, "s0", after=5)[]]))',
        ]
    )


def test_a_file_that_is_no_saved_schedule_is_an_error_in_a_line(pytester: pytest.Pytester) -> None:
    """What bears the suffix and is no saved schedule is not passed over."""
    (pytester.path / "odd.timersim.json").write_text("[]")

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(errors=1)
    assert section(result, "ERROR collecting odd.timersim.json") == [
        f'{pytester.path / "odd.timersim.json"} is no saved schedule: it has no "timersim": 1'
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"passed": 1}),
        (["timersim-failures"], {"failed": 1}),
        (["timersim-failures/case.timersim.json"], {"failed": 1}),
        (["."], {"passed": 1}),
    ],
)
def test_what_was_dropped_is_collected_on_demand(
    pytester: pytest.Pytester, arguments: list[str], expected: dict[str, int]
) -> None:
    """Where failures are saved by themselves they are tests only for who names them."""
    spec = {"name": "memory", "without": "reap-once"}
    case = SavedSchedule("case", ["reaped-once"], spec, Schedule([Acquire(0, "s0", after=0)]))
    case.save(pytester.path / "timersim-failures")
    pytester.makepyfile("def test_other(): pass")

    assert pytester.runpytest_subprocess("-q", *arguments).parseoutcomes() == expected


def test_the_marker_and_the_ini_shape_worlds(pytester: pytest.Pytester) -> None:
    """The closest marker wins over others, and these over the ini file."""
    pytester.makeini("[pytest]\ntimersim_max_interval = 7\ntimersim_start = 500")
    pytester.makepyfile(
        """
        import pytest

        def shape(world):
            return world.max_interval, world.clock.time()

        def test_ini(timer_world):
            assert shape(timer_world) == (7.0, 500.0)

        @pytest.mark.timersim(max_interval=30)
        class TestMarked:
            def test_one(self, timer_world):
                assert shape(timer_world) == (30, 500.0)

            @pytest.mark.timersim(start=1_000)
            def test_both(self, timer_world):
                assert shape(timer_world) == (30, 1_000)

            @pytest.mark.timersim(max_interval=5, start=2_000)
            def test_closer(self, timer_world):
                assert shape(timer_world) == (5, 2_000)
        """
    )
    pytester.runpytest_subprocess("-q", "--strict-markers").assert_outcomes(passed=4)


@pytest.mark.parametrize(("marker", "value"), [("60", "60"), ("interval=60", "interval")])
def test_a_marker_that_means_nothing_is_refused(pytester: pytest.Pytester, marker: str, value: str) -> None:
    """A misspelt option of the marker is an error that says what there is."""
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.timersim({marker})\ndef test_it(timer_world): pass")

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"@pytest.mark.timersim takes max_interval, start, patch: not {value}"])


def test_a_test_runs_on_each_backend_that_is_named(pytester: pytest.Pytester) -> None:
    """`timer_backend` is memory, or what the command line names, each once and for the session."""
    pytester.makepyfile(
        """
        from hypothesis import given, settings
        from timersim.lab import run
        from timersim.strategies import schedules

        @settings(max_examples=10, deadline=None)
        @given(schedules(max_workers=2))
        def test_it(timer_backend, schedule):
            run(schedule, timer_backend).check()

        def test_name(timer_backend, request):
            assert timer_backend.name == request.node.callspec.id
        """
    )
    local, memory = ("--timersim-backend", "local"), ("--timersim-backend", "memory")
    assert ids(pytester) == ["test_it[memory]", "test_name[memory]"]
    assert ids(pytester, *local, *memory, *local) == [
        "test_it[local]",
        "test_name[local]",
        "test_it[memory]",
        "test_name[memory]",
    ]
    pytester.runpytest_subprocess("-q", *local).assert_outcomes(passed=2)
    result = pytester.runpytest_subprocess("-q", "--timersim-backend", "abacus")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["--timersim-backend abacus: there is no backend 'abacus'; there are memory, *"])


def ids(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """Returns the collected tests in their order: those of a backend together, which is made once."""
    lines = pytester.runpytest_subprocess("-q", "--collect-only", "-p", "no:randomly", *arguments).outlines
    return [line.partition("::")[2] for line in lines if "::" in line]


def test_leftovers_are_named_on_request(pytester: pytest.Pytester) -> None:
    """`no_leftovers` fails the test that leaves a process, by pid, and spares the workers of a backend."""
    pytester.makepyfile(
        """
        import subprocess

        from timersim.lab import Acquire, Schedule, run

        def test_leaves(no_leftovers):
            global process
            process = subprocess.Popen(["sleep", "60"])
            print("pid", process.pid)

        def test_clean(no_leftovers, process_backend, timer_backend):
            for backend in (process_backend, timer_backend):
                run(Schedule([Acquire(0, "s0", after=5)]), backend).check()
            process.kill()
            process.wait()

        def test_not_asked():
            global process
            process = subprocess.Popen(["sleep", "60"])

        def test_end():
            process.kill()
            process.wait()
        """
    )
    result = pytester.runpytest_subprocess("-q", "-rA", "-p", "no:randomly", "--timersim-backend", "local")

    result.assert_outcomes(passed=4, errors=1)
    pid = next(line.removeprefix("pid ") for line in result.outlines if line.startswith("pid "))
    result.stdout.fnmatch_lines([f"left behind: process {pid} 'sleep'"])


def test_a_traceback_ends_where_the_test_is(pytester: pytest.Pytester) -> None:
    """The frames of `run` and `check` are not shown: a failing test ends at its own line."""
    pytester.makepyfile(BROKEN.replace("{spec}", "") + REFUSED)

    result = pytester.runpytest_subprocess("-q", "--tb=short")

    result.assert_outcomes(failed=2)
    frames = [line.partition(":")[0] for line in result.outlines if ": in " in line]
    assert frames == [f"{pytester.path.name[:-1]}.py"] * 2


@pytest.mark.parametrize("option", ["-p no:timersim", "-p no:timersim --timersim-backend memory"])
def test_the_plugin_can_be_left_out(pytester: pytest.Pytester, option: str) -> None:
    """Without the plugin there are neither its fixtures nor its options."""
    pytester.makepyfile("def test_it(timer_world): pass")

    result = pytester.runpytest_subprocess("-q", *option.split())

    if "backend" in option:
        result.stderr.fnmatch_lines(["*unrecognized arguments: --timersim-backend*"])
    else:
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*fixture 'timer_world' not found"])


def test_no_header_line_is_added(pytester: pytest.Pytester) -> None:
    """A suite that uses nothing of timersim reads as before."""
    pytester.makepyfile("def test_it(): pass")

    result = pytester.runpytest_subprocess()

    assert [
        line for line in result.outlines if "timersim" in line and not line.startswith(("plugins: ", "rootdir: "))
    ] == []


def test_every_fixture_and_strategy_serves_a_typed_suite(pytester: pytest.Pytester) -> None:
    """The file that the type checkers are shown is a suite that passes."""
    SavedSchedule("fixed", ["reaped-once"], {"name": "memory"}, Schedule([Acquire(0, "s0", after=0)])).save(
        pytester.path
    )
    pytester.makepyfile((Path(__file__).parent / "data" / "every_fixture.py").read_text(encoding="utf-8"))

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=9)


def test_a_module_lives_in_patched_time(pytester: pytest.Pytester) -> None:
    """With `patched_time` the test's module and those that the marker names see the virtual clock, and nobody else."""
    pytester.makepyfile(
        night="import time\n\ndef watch():\n    time.sleep(3600)\n    return time.time()\n",
        day="import time\n\ndef now():\n    return time.time()\n",
    )
    pytester.makepyfile(
        """
        import time
        from datetime import datetime, timezone

        import day
        import night
        import pytest
        import timersim

        @pytest.mark.timersim(start=2_000_000, patch=["night"])
        def test_it(patched_time, virtual_clock, timer_client, timer_server):
            assert patched_time is virtual_clock
            assert (time.time(), night.watch()) == (2_000_000, 2_003_600)
            assert datetime.now(timezone.utc).timestamp() == 2_003_600
            assert day.now() > 1_700_000_000
            timer_client("a").acquire("s", time.time() + 5)
            time.sleep(5)
            assert timer_server.reaped == ["a"]

        def test_afterwards():
            assert time.time() > 1_700_000_000
        """
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:randomly", "--import-mode=prepend", timeout=60)

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("'night'", "ValueError: patch is a list of the names of modules: patch='night'"),
        ("['gone']", "ValueError: patch names a module that can't be imported: No module named 'gone'"),
    ],
)
def test_a_module_that_cannot_be_patched_is_named(pytester: pytest.Pytester, patch: str, reason: str) -> None:
    """What the marker's `patch` can't mean is an error with a sentence."""
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.timersim(patch={patch})\ndef test_it(patched_time): pass")

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E  *{reason}"])
