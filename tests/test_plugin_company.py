"""The plugin in company: with the plugins that other people's suites use beside it."""

import sys
from collections import Counter

import pytest

from timersim.lab.operations import Acquire
from timersim.lab.saved import SavedSchedule
from timersim.lab.schedule import Schedule

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
"""What pytest-asyncio warns about where nothing is said."""

STRICT = ("-W", "error", *SCOPE)

PROPERTIES = """
    from hypothesis import given, settings
    from timersim.lab import run
    from timersim.strategies import schedules

    few = settings(max_examples=10, deadline=None)

    @few
    @given(schedules(max_workers=2))
    def test_named(timer_backend, schedule):
        trace = run(schedule, timer_backend)
        trace.check()

    @few
    @given(schedules(max_workers=2))
    def test_real(process_backend, schedule):
        trace = run(schedule, process_backend)
        trace.check()
"""


def outcome(result: pytest.RunResult) -> tuple[int, dict[str, int]]:
    """Returns the exit status and every count of a run, warnings included."""
    return int(result.ret), result.parseoutcomes()


def save_schedules(pytester: pytest.Pytester, **backends: str) -> None:
    """Saves a schedule that is fixed for each name, on the backend beside it."""
    for name, backend in backends.items():
        saved = SavedSchedule(name, ["reaped-once"], {"name": backend}, Schedule([Acquire(0, "s0", after=0)]))
        saved.save(pytester.path / "regressions")


def test_each_worker_of_xdist_has_its_own_backends(pytester: pytest.Pytester) -> None:
    """Backends and saved schedules hold in each of four workers at once."""
    pytester.makepyfile(PROPERTIES)
    save_schedules(pytester, simulated="memory", real="local")

    result = pytester.runpytest_subprocess(*STRICT, "-v", "-n", "4", "--dist", "each", "--timersim-backend", "local")

    assert outcome(result) == (0, {"passed": 16})
    assert Counter(line.split()[-1].partition("::")[2] for line in result.outlines if " PASSED " in line) == {
        "test_named[local]": 4,
        "test_real": 4,
        "simulated": 4,
        "real": 4,
    }


def test_xdist_shares_out_what_we_collect(pytester: pytest.Pytester) -> None:
    """Four workers collect the same tests, and each test runs once."""
    pytester.makepyfile(PROPERTIES)
    save_schedules(pytester, simulated="memory", real="local")

    assert outcome(pytester.runpytest_subprocess(*STRICT, "-n", "4")) == (0, {"passed": 4})


ASYNC = """
    import asyncio
    import pytest
    import timersim

    @pytest.fixture
    def an_hour_later(timer_world):
        yield
        timer_world.clock.advance(3600)
        assert timer_world.server.reaped == ["slow", "hung"]

    {mark}
    async def test_it(timer_world, an_hour_later):
        with timersim.expires(after=60, client=timer_world.client("quick")):
            await asyncio.sleep(0)
        with timersim.expires(after=60, client=timer_world.client("slow")):
            await asyncio.sleep(0)
            timer_world.clock.advance(60)
        timer_world.client("hung").acquire("load", timer_world.clock.time() + 60)
        await asyncio.sleep(0)
        assert timer_world.server.reaped == ["slow"]
"""


@pytest.mark.parametrize(("mode", "mark"), [("strict", "@pytest.mark.asyncio"), ("auto", "")])
def test_a_coroutine_of_pytest_asyncio_has_a_world(pytester: pytest.Pytester, mode: str, mark: str) -> None:
    """`expires` guards a block that awaits; time passes where the test says so, in its loop and once that has ended."""
    pytester.makepyfile(ASYNC.replace("{mark}", mark))

    result = pytester.runpytest_subprocess(*STRICT, "--asyncio-mode", mode)

    assert outcome(result) == (0, {"passed": 1})


@pytest.mark.parametrize("others", [SCOPE, ("-p", "no:asyncio")])
def test_a_coroutine_of_anyio_has_a_world(pytester: pytest.Pytester, others: tuple[str, ...]) -> None:
    """The same in anyio's tests, with pytest-asyncio beside it and without."""
    pytester.makeconftest("import pytest\n\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'")
    pytester.makepyfile(ASYNC.replace("{mark}", "@pytest.mark.anyio"))

    assert outcome(pytester.runpytest_subprocess("-W", "error", *others)) == (0, {"passed": 1})


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_limit_counts_real_time(pytester: pytest.Pytester, method: str) -> None:
    """pytest-timeout's limit of a minute is not met by an hour of virtual time."""
    pytester.makepyfile(
        """
        def test_it(timer_client, virtual_clock, timer_server):
            timer_client("rank 3").acquire("load", virtual_clock.time() + 60)
            virtual_clock.advance(3600)
            assert timer_server.reaped == ["rank 3"]
        """
    )
    result = pytester.runpytest_subprocess(*STRICT, "--timeout", "60", "--timeout-method", method)

    assert outcome(result) == (0, {"passed": 1})


def test_a_limit_ends_a_test_that_hangs_in_virtual_time(pytester: pytest.Pytester) -> None:
    """pytest-timeout's signal ends one test, and the next one has a world that works."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(1)
        def test_hangs(timer_world):
            while True:
                timer_world.clock.advance(1)

        def test_next(timer_client, virtual_clock, timer_server):
            timer_client("rank 3").acquire("load", virtual_clock.time() + 60)
            virtual_clock.advance(60)
            assert timer_server.reaped == ["rank 3"]
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", *STRICT, "--timeout-method", "signal", timeout=60)

    assert outcome(result) == (1, {"passed": 1, "failed": 1})
    assert any(line.endswith(" Failed: Timeout (>1.0s) from pytest-timeout.") for line in result.outlines)


def test_a_seed_gives_an_order(pytester: pytest.Pytester) -> None:
    """pytest-randomly shuffles our tests along with the others; the same seed gives the same order."""
    pytester.makepyfile(PROPERTIES, test_more="\n".join(f"def test_{n}(timer_world): pass" for n in range(6)))
    save_schedules(pytester, first="memory", second="memory", third="memory")

    orders = [order(pytester, seed, "--collect-only", "-q") for seed in range(3)]

    assert [len(set(each)) for each in orders] == [11] * 3
    assert order(pytester, 1, "-v") == orders[1]
    assert len({tuple(map(is_saved, each)) for each in orders}) > 1
    assert len({tuple(filter(is_saved, each)) for each in orders}) > 1


def is_saved(test: str) -> bool:
    """Returns whether a test is a saved schedule."""
    return ".timersim.json::" in test


def order(pytester: pytest.Pytester, seed: int, *options: str) -> list[str]:
    """Returns the tests in the order in which they would run or, with `-v`, have passed."""
    result = pytester.runpytest_subprocess(*options, *STRICT, f"--randomly-seed={seed}")
    assert result.ret == 0
    return [line.split()[0] for line in result.outlines if "::" in line]


def test_without_the_plugin_saved_schedules_are_files(pytester: pytest.Pytester) -> None:
    """With `-p no:timersim` nothing of ours is collected, and the library is there all the same."""
    pytester.makepyfile(
        """
        from timersim.fakes import simulated_world

        def test_it():
            with simulated_world() as world:
                world.clock.advance(3600)
        """
    )
    save_schedules(pytester, simulated="memory")

    assert outcome(pytester.runpytest_subprocess(*STRICT, "-p", "no:timersim")) == (0, {"passed": 1})


def test_coverage_runs_through_workers_that_are_killed(pytester: pytest.Pytester) -> None:
    """Coverage in subprocesses measures the suite's own lines, and no worker of ours is in its way."""
    (pytester.path / ".coveragerc").write_text("[run]\npatch = subprocess\nparallel = true\nsource = .\n")
    pytester.makepyfile(PROPERTIES)
    coverage = (sys.executable, "-m", "coverage")

    result = pytester.run(*coverage, "run", "-m", "pytest", *STRICT)
    assert outcome(result) == (0, {"passed": 2})
    assert pytester.run(*coverage, "combine", "-q").ret == 0
    report = pytester.run(*coverage, "report")

    name = pytester.path.name[:-1]
    assert (report.ret, report.errlines) == (0, [])
    assert [line.split() for line in report.outlines if line.endswith("%")] == [
        [f"{name}.py", "14", "0", "100%"],
        ["TOTAL", "14", "0", "100%"],
    ]
