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
from timersim.strategies.search import unheard
from timersim.strategies.vocabulary import Vocabulary

from .plain_generators import field_strategies, plain
from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import Side, compare, in_a_child

VOCABULARY = Vocabulary(EVERYTHING)

CONTRACT = SimulatedBackend().contract
"""It survives everything, so schedules have every operation."""


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured."""
    yield Benchmark("drawing, every operation", "a composite, built once", Target("<=", 1.1), drawing)
    yield Benchmark("a run, of its drawing", "what Hypothesis took to draw it", Target("<=", 0.1), beside_hypothesis)
    yield Benchmark("a run, of a plain seed's", "what drawing from plain seeds took", None, beside_seeds)


def drawing(size: Size) -> Result:
    """Times the drawing of an operation."""
    examples = size.times(300, 10)
    mine, by_hand = (partial(drawn, each, examples) for each in (schedules(contract=CONTRACT), _floor()))
    return in_time(compare(mine, by_hand, size.rounds(7)), "us")


def beside_hypothesis(size: Size) -> Result:
    """Times a run, its verdict alone, and what Hypothesis takes to draw; an operation each."""
    examples = size.times(300, 10)
    return _beside(partial(drawn, schedules(contract=CONTRACT), examples), examples, size)


def beside_seeds(size: Size) -> Result:
    """Times a run, its verdict alone, and what the same generator takes without Hypothesis."""
    examples = size.times(300, 10)
    return _beside(partial(seeded, examples), examples, size)


def _beside(draw: Side, examples: int, size: Size) -> Result:
    result = compare(partial(running, examples), draw, size.rounds(7))
    return in_time(result, "us", ("the verdict alone", in_a_child(partial(judging, examples))))


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
