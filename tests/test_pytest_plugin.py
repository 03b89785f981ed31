"""The plugin's fixtures, in suites of their own."""

import pytest

pytest_plugins = ["pytester"]


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

        @settings(max_examples=25)
        @given(schedules(max_workers=2))
        def test_simulated(simulated_backend, schedule):
            run(schedule, simulated_backend).check()

        @settings(max_examples=25)
        @given(schedules(max_workers=2))
        def test_real(process_backend, schedule):
            run(schedule, process_backend).check()
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_a_failure_is_a_timeline(pytester: pytest.Pytester) -> None:
    """A failing property shows the headline, the timeline and the line to paste."""
    pytester.makepyfile(
        """
        from hypothesis import given
        from timersim.fakes import SimulatedBackend
        from timersim.fakes.broken_servers import without
        from timersim.lab import run
        from timersim.memory_timer import MemoryTimerServer
        from timersim.strategies import schedules

        BACKEND = SimulatedBackend(without("reap-once", MemoryTimerServer))

        @given(schedules())
        def test_mine(schedule):
            run(schedule, BACKEND).check()
        """
    )
    result = pytester.runpytest_subprocess("-q")
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
