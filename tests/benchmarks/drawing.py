"""Drawing a schedule with Hypothesis, against a `@composite` whose inner strategies are built once; and its share."""

from collections.abc import Iterator
from functools import partial
from time import process_time
from typing import Any

from hypothesis import given, seed
from hypothesis import strategies as st

from timersim.fakes import SimulatedBackend
from timersim.lab import run
from timersim.lab.operations import EVERYTHING, Operation
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.strategies import schedules, seeded_schedule
from timersim.strategies.choices import Vocabulary
from timersim.strategies.search import unheard

from .plain_generators import field_strategies, plain
from .side_by_side import compare, in_a_child

VOCABULARY = Vocabulary(EVERYTHING)

CONTRACT = SimulatedBackend().contract
"""It survives everything, so schedules have every operation."""


def rows(scale: float) -> Iterator[str]:
    """Yields the lines of the report."""
    rounds, examples = max(1, int(7 * scale)), max(10, int(300 * scale))
    result = compare(partial(drawn, schedules(contract=CONTRACT), examples), partial(drawn, _floor(), examples), rounds)
    yield (
        f"drawing, every operation:          {result.ours * 1e6:6.1f} us an operation, a composite"
        f" {result.floor * 1e6:.1f} us, {result.ratio:.2f}x (<= 1.1x)"
    )
    given_time = in_a_child(partial(drawn, schedules(contract=CONTRACT), examples))
    seeded_time, run_time, judged_time = (in_a_child(partial(part, examples)) for part in (seeded, running, judging))
    for name, time in (("Hypothesis", given_time), ("plain seeds", seeded_time)):
        whole = time + run_time
        yield (
            f"shares, drawn by {name}: {time / whole:.0%} drawing, {(run_time - judged_time) / whole:.0%} simulation,"
            f" {judged_time / whole:.0%} judging; the run is {run_time / time:.2f}x (of the drawing)"
        )


def drawn(strategy: st.SearchStrategy[Schedule], examples: int) -> float:
    """Seconds an operation, all that Hypothesis does besides included."""
    operations = 0

    @seed(0)
    @plain(examples)
    @given(strategy)
    def draw(schedule: Schedule) -> None:
        nonlocal operations
        operations += len(schedule)

    begun = process_time()
    draw()
    return (process_time() - begun) / operations


def seeded(examples: int) -> float:
    """Drawn from plain seeds; seconds an operation."""
    begun = process_time()
    made = _made(examples)
    return (process_time() - begun) / sum(map(len, made))


def running(examples: int) -> float:
    """The world, the trace and the verdict; seconds an operation."""
    backend, made = SimulatedBackend(), _made(examples)
    with unheard():
        begun = process_time()
        for schedule in made:
            run(schedule, backend)
        return (process_time() - begun) / sum(map(len, made))


def judging(examples: int) -> float:
    """The verdict alone; seconds an operation."""
    backend, made = SimulatedBackend(), _made(examples)
    with unheard():
        traces = [run(schedule, backend) for schedule in made]
    begun = process_time()
    for trace in traces:
        Trace.of_record(trace)
    return (process_time() - begun) / sum(map(len, made))


def _made(examples: int) -> list[Schedule]:
    return [seeded_schedule(0, number, VOCABULARY) for number in range(examples)]


def _floor() -> st.SearchStrategy[Schedule]:
    """Returns what draws as many operations as ours has on average: the kind, then each of its fields."""
    kinds = st.sampled_from(EVERYTHING)
    fields: dict[type[Operation], dict[str, st.SearchStrategy[Any]]] = {
        kind: field_strategies(kind, VOCABULARY) for kind in EVERYTHING
    }
    sizes = st.integers(6, VOCABULARY.max_size)

    @st.composite
    def composite(draw: st.DrawFn) -> Schedule:
        operations = []
        for _ in range(draw(sizes)):
            kind = draw(kinds)
            operations.append(kind(**{name: draw(strategy) for name, strategy in fields[kind].items()}))
        return Schedule(operations)

    return composite()
