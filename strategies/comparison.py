"""The comparison: the same drawn schedules on a model and on a real backend, and what explains each difference."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from timersim.lab.conformance import Difference, Explanation, compare
from timersim.lab.experiment import Backend
from timersim.lab.operations import PLAIN, to_object
from timersim.lab.schedule import Schedule
from timersim.lab.shrink import shrink
from timersim.strategies.search import seeded_schedule, unheard
from timersim.strategies.vocabulary import Vocabulary


@dataclass(slots=True)
class Example:
    """A schedule in which a difference was seen, the shortest one, and in how many it was."""

    difference: Difference
    schedule: Schedule
    count: int = 0

    def take(self, difference: Difference, schedule: Schedule) -> None:
        """Counts a schedule, and keeps it where it is shorter."""
        self.count += 1
        if len(schedule) < len(self.schedule):
            self.difference, self.schedule = difference, schedule


@dataclass(slots=True)
class Comparison:
    """What comparing came to: how many schedules were equal on both, and what explains the others."""

    backend: str
    seed: int
    examples: int = 0
    equal: int = 0
    seconds: float = 0.0
    found: dict[Explanation, Example] = field(default_factory=dict)
    is_interrupted: bool = False

    @property
    def unexplained(self) -> list[Example]:
        """The differences that nothing accounts for."""
        return [example for example in self.found.values() if not example.difference.is_explained]

    def to_object(self) -> dict[str, Any]:
        """Returns it as an object of JSON."""
        return {
            "backend": self.backend,
            "seed": self.seed,
            "examples": self.examples,
            "equal": self.equal,
            "seconds": round(self.seconds, 3),
            "differences": [
                {
                    "cause": explanation.cause.value.lower(),
                    "explanation": explanation.text,
                    "count": example.count,
                    "seen": example.difference.seen,
                    "schedule": [to_object(operation) for operation in example.schedule],
                }
                for explanation, example in self.found.items()
            ],
        }


def compare_backends(
    model: Backend,
    real: Backend,
    max_examples: int = 200,
    seed: int = 0,
    progress: Callable[[Comparison], None] = lambda comparison: None,
) -> Comparison:
    """Runs `max_examples` drawn schedules on both backends and returns what explains their differences.

    They are made of what every backend can carry out. A difference that nothing accounts for is shrunk. An interrupt
    (Ctrl-C) ends it, and the comparison says so, with what was seen, not shrunk.

    >>> from timersim.fakes import SimulatedBackend
    >>> compare_backends(SimulatedBackend(), SimulatedBackend(), max_examples=20).equal
    20
    """
    comparison = Comparison(real.name, seed)
    begun, vocabulary = time.monotonic(), Vocabulary(PLAIN)
    try:
        with unheard():
            for number in range(max_examples):
                schedule = seeded_schedule(seed, number, vocabulary)
                _take(comparison, schedule, compare(schedule, model, real))
                progress(comparison)
            for example in comparison.unexplained:
                _shrink(example, model, real)
    except KeyboardInterrupt:
        comparison.is_interrupted = True
    comparison.seconds = time.monotonic() - begun
    return comparison


def _take(comparison: Comparison, schedule: Schedule, differences: Sequence[Difference]) -> None:
    """Adds what a schedule came to."""
    comparison.examples += 1
    comparison.equal += not differences
    for difference in differences:
        comparison.found.setdefault(difference.explanation, Example(difference, schedule)).take(difference, schedule)


def _shrink(example: Example, model: Backend, real: Backend) -> None:
    """Makes an example the smallest that has a difference with the same explanation."""
    last = {example.schedule: example.difference}

    def is_different(schedule: Schedule) -> bool:
        found = [d for d in compare(schedule, model, real) if d.explanation == example.difference.explanation]
        last.update((schedule, difference) for difference in found)
        return bool(found)

    example.schedule = shrink(example.schedule, is_different)
    example.difference = last[example.schedule]
