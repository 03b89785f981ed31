"""How many schedules it takes to find each ablation, by our generator and by plain ones, and what that shrinks to.

`python -m tests.benchmarks.search [SCALE]` prints the table; with a SCALE below 1 of fewer ablations, seeds, schedules.
"""

import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from timersim.fakes.broken_servers import ABLATIONS, backend_without
from timersim.lab.experiment import Backend, run
from timersim.lab.schedule import Schedule
from timersim.strategies.search import search_among, seeded_schedule, unheard
from timersim.strategies.vocabulary import vocabulary_of

from . import plain_generators

SEEDS = {"ours": 10, "uniform": 10, "hypothesis": 3, "machine": 3}
"""How many seeds each side has: a schedule drawn by Hypothesis costs ten times as much."""

CAPS = {"ours": 1_000, "uniform": 1_000, "hypothesis": 300, "machine": 300}
"""After so many schedules without it an ablation counts as not found, and so many as its number."""

WIDTH = max(len("schedules until found: median / worst"), *map(len, ABLATIONS))


class Found(BaseException):
    """Ends a search by Hypothesis, which goes on after an `Exception`."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


class Numbers(NamedTuple):
    """After how many schedules each seed found an ablation: None for one that has not."""

    found: Sequence[int | None]
    cap: int

    @property
    def median(self) -> float:
        """The median, where what was not found counts as the cap."""
        return statistics.median(self.cap if number is None else number for number in self.found)

    @property
    def is_found(self) -> bool:
        """Whether any seed has found it."""
        return any(number is not None for number in self.found)

    def __str__(self) -> str:
        worst = max(math.inf if number is None else number for number in self.found)
        middle = f"{self.median:,.0f}" if self.median < self.cap else f">{self.cap:,}"
        return f"{middle} / {'>' + format(self.cap, ',') if worst == math.inf else format(worst, ',')}"


Result = tuple[int | None, Schedule | None]
"""After how many schedules one has broken an invariant, and that schedule; or nothing."""

Side = Callable[[Backend, str, int, int], Result]
"""Searches a backend for what breaks its own invariant, with a seed, up to so many schedules."""


def ours(backend: Backend, breaks: str, seed: int, cap: int) -> Result:
    """With our generator on plain seeds, as `timersim check` has it."""
    vocabulary = vocabulary_of(backend)
    return first(backend, breaks, (seeded_schedule(seed, number, vocabulary) for number in count()), cap)


def uniform(backend: Backend, breaks: str, seed: int, cap: int) -> Result:
    """With plain uniform draws."""
    return first(backend, breaks, plain_generators.uniform(seed, vocabulary_of(backend)), cap)


def hypothesis(backend: Backend, breaks: str, seed: int, cap: int) -> Result:
    """With our generator over Hypothesis, as users have it."""
    return _counted(plain_generators.by_hypothesis, backend, breaks, seed, cap)


def machine(backend: Backend, breaks: str, seed: int, cap: int) -> Result:
    """With a state machine of Hypothesis's."""
    return _counted(plain_generators.by_machine, backend, breaks, seed, cap)


SIDES: dict[str, Side] = {"ours": ours, "uniform": uniform, "hypothesis": hypothesis, "machine": machine}


def first(backend: Backend, breaks: str, schedules: Iterable[Schedule], cap: int) -> Result:
    """Returns the first of these schedules that breaks an invariant."""
    for number, schedule in zip(range(1, cap + 1), schedules, strict=False):
        if is_broken(backend, breaks, schedule):
            return number, schedule
    return None, None


def is_broken(backend: Backend, breaks: str, schedule: Schedule) -> bool:
    """Returns whether a schedule breaks this invariant."""
    return any(violation.invariant.id == breaks for violation in run(schedule, backend).violations)


def seeds_of(safeguard: str, seeds: int) -> range:
    """Returns seeds of its own for each ablation: one lucky schedule is no luck of all of them."""
    first = list(ABLATIONS).index(safeguard) * max(SEEDS.values())
    return range(first, first + seeds)


def shrunk(safeguard: str, schedule: Schedule) -> Schedule | None:
    """Returns what the search makes of a schedule; None where it breaks the invariant for another's cause alone."""
    breaks = ABLATIONS[safeguard].breaks
    findings = search_among([schedule], backend_without(safeguard), shrunk=breaks).findings
    return min((finding.schedule for finding in findings if breaks in finding.invariants), key=len, default=None)


def _counted(draw: Callable[..., None], backend: Backend, breaks: str, seed: int, cap: int) -> Result:
    examples = 0

    def take(schedule: Schedule) -> None:
        nonlocal examples
        examples += 1
        if is_broken(backend, breaks, schedule):
            raise Found(schedule)

    try:
        draw(seed, vocabulary_of(backend), cap, take)
    except Found as found:
        return examples, found.schedule
    return None, None


def lines(scale: float) -> Iterator[str]:
    """Yields the lines of the table, and what they come to."""
    safeguards = list(ABLATIONS)[: max(2, round(len(ABLATIONS) * min(scale, 1)))]
    yield f"{'schedules until found: median / worst':<{WIDTH}} {''.join(f'{name:>18}' for name in SIDES)}  shrunk to"
    found: dict[str, list[Numbers]] = {name: [] for name in SIDES}
    sizes: list[list[int]] = []
    for safeguard in safeguards:
        breaks = ABLATIONS[safeguard].breaks
        for name, side in SIDES.items():
            seeds, cap = max(1, round(SEEDS[name] * scale)), max(10, round(CAPS[name] * scale))
            results = [side(backend_without(safeguard), breaks, seed, cap) for seed in seeds_of(safeguard, seeds)]
            found[name].append(Numbers([number for number, _ in results], cap))
            if name == "ours":
                smaller = [shrunk(safeguard, schedule) for _, schedule in results if schedule is not None]
                sizes.append([len(schedule) for schedule in smaller if schedule is not None])
        numbers = "".join(f"{found[name][-1]!s:>18}" for name in SIDES)
        yield f"{safeguard:<{WIDTH}} {numbers}  {', '.join(map(str, sorted(set(sizes[-1])))) or 'nothing'}"
    yield from _verdict(safeguards, found, sizes)


def _verdict(safeguards: Sequence[str], found: dict[str, list[Numbers]], sizes: list[list[int]]) -> Iterator[str]:
    medians = {name: statistics.median(numbers.median for numbers in found[name]) for name in found}
    for name, median in medians.items():
        factor = f", {median / medians['ours']:.1f} times ours" if name != "ours" else ""
        cap, seeds = found[name][0].cap, len(found[name][0].found)
        missed = sum(not numbers.is_found for numbers in found[name])
        yield (
            f"{name}: {median:,.0f} schedules in the median of {len(safeguards)} ablations{factor};"
            f" {missed} not found (each with {seeds} seeds, and {cap:,} schedules at most: so many where not found)"
        )
    alone = [
        f"{safeguard} by {name}"
        for name in found
        for safeguard, theirs, mine in zip(safeguards, found[name], found["ours"], strict=True)
        if theirs.is_found and not mine.is_found
    ]
    yield f"found, and not by ours: {', '.join(alone) or 'none'}"
    every = [size for each in sizes for size in each]
    differing = [safeguard for safeguard, each in zip(safeguards, sizes, strict=True) if len(set(each)) > 1]
    yield (
        f"shrunk to {statistics.median(every or [0]):.0f} operations in the median, {max(every, default=0)} at most;"
        f" of another size with another seed: {', '.join(differing) or 'none'}"
    )


if __name__ == "__main__":
    with unheard():
        for line in lines(float(sys.argv[1]) if sys.argv[1:] else 1.0):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
