"""Memory and the real transports come to the same, but for what is explained."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.quick import one_in
from timersim.backends.names import make_backend
from timersim.backends.process import ProcessBackend, Transport
from timersim.fakes import SimulatedBackend
from timersim.lab import Acquire, Crash, Pause, PauseServer, Release, Resume, Schedule, StopServer
from timersim.lab.conformance import GONE, REFUSED, TIE, WAITS, Explanation, compare
from timersim.strategies.comparison import compare_backends

TRANSPORTS: list[Transport] = ["local", "file", "socket"]

MODEL = SimulatedBackend()

EXAMPLES = 50


@pytest.fixture(scope="module", params=TRANSPORTS)
def real(request: pytest.FixtureRequest) -> Iterator[ProcessBackend]:
    """A real backend."""
    with closing(ProcessBackend(request.param)) as backend:
        yield backend


def test_every_difference_of_drawn_schedules_is_explained(real: ProcessBackend) -> None:
    """The same schedules come to the same in memory and on each transport, or it is known why not."""
    comparison = compare_backends(MODEL, real, max_examples=EXAMPLES)

    assert [(example.difference, example.schedule) for example in comparison.unexplained] == []
    assert comparison.examples == EXAMPLES
    assert comparison.equal > EXAMPLES / 3


REASONS: list[tuple[Schedule, dict[str, list[Explanation]]]] = [
    (Schedule([Acquire(0, "s0", after=3600), Acquire(1, "s0", after=1)]), {}),
    (Schedule([StopServer(), Acquire(0, "s0", after=5)]), {"file": [REFUSED], "socket": [REFUSED]}),
    (Schedule([PauseServer(5), Acquire(0, "s0", after=9, gap=1), Release(0, "s0")]), {"socket": [WAITS]}),
    (Schedule([Pause(0), Acquire(0, "s0", after=0), Pause(0), Resume(0)]), {"socket": [TIE]}),
    (Schedule([Pause(0), *[Acquire(0, "s0", after=0)] * 2, Resume(0), Acquire(1, "s0", after=9)]), {"socket": [TIE]}),
    (Schedule([Acquire(0, "s0", after=12), Crash(0, "sigkill")]), {transport: [GONE] for transport in TRANSPORTS}),
]


@pytest.mark.parametrize(("schedule", "reasons"), REASONS)
def test_a_difference_has_its_reason(
    real: ProcessBackend, schedule: Schedule, reasons: dict[str, list[Explanation]]
) -> None:
    """A stopped server, a paused one and a death show how each transport differs from memory."""
    assert [each.explanation for each in compare(schedule, MODEL, real)] == reasons.get(real.name, [])


@pytest.mark.parametrize("transport", one_in(3, TRANSPORTS))
def test_a_broken_server_on_one_side_is_not_explained(transport: Transport) -> None:
    """A server that judges before it drains differs from memory's, and the example is shrunk."""
    with closing(make_backend(transport, without="honour-releases")) as broken:
        comparison = compare_backends(MODEL, broken, max_examples=40)

    reaps = [e for e in comparison.unexplained if e.difference.explanation.text == "the servers reap differently"]
    assert [len(example.schedule) for example in reaps] == [2]
