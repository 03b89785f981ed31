"""What a generator of schedules is without what ours knows: plain uniform draws, and a plain state machine."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test

from timersim.lab.operations import CORRUPTIONS, CRASHES, Acquire, Operation, Release
from timersim.lab.schedule import Schedule
from timersim.strategies import schedules
from timersim.strategies.amounts import AFTERS, GAPS, LATER, PAUSES, STEPS, TIMES
from timersim.strategies.vocabulary import Vocabulary

Take = Callable[[Schedule], None]
"""Is given each schedule; what it raises ends the drawing, where it is no `Exception`."""


def values(kind: type[Operation], vocabulary: Vocabulary) -> Mapping[str, Sequence[Any]]:
    """Returns what each field of an operation may be: what our generator draws, and what lies between."""
    ticks = PAUSES if kind.__name__.startswith("PauseServer") else LATER
    own: dict[str, Sequence[Any]] = {
        "gap": range(max(GAPS) + 1),
        "worker": range(vocabulary.max_workers),
        "of": range(vocabulary.max_workers),
        "scope": [f"s{number}" for number in range(vocabulary.max_scopes)],
        "after": range(max(AFTERS) + 1),
        "ticks": ticks,
        "later": (0, *LATER),
        "by": STEPS,
        "per_mille": STEPS,
        "times": TIMES if kind.__name__ == "Flood" else (1, 2, 3),
        "pick": (1, 2, 3),
        "how": CRASHES if kind.__name__ == "Crash" else CORRUPTIONS,
        "at": vocabulary.sending if kind.__name__ == "CrashSending" else kind.words.get("at", ()),
    }
    return {field.name: own[field.name] for field in fields(kind)}


def uniform(number: int, vocabulary: Vocabulary) -> Iterator[Schedule]:
    """Yields schedules without end, as long as ours are at most: every kind and every value is as likely as another."""
    source = random.Random(number)
    ranges = {kind: values(kind, vocabulary) for kind in vocabulary.kinds}
    while True:
        kinds = source.choices(vocabulary.kinds, k=vocabulary.max_size)
        yield Schedule(kind(**{name: source.choice(among) for name, among in ranges[kind].items()}) for kind in kinds)


def by_hypothesis(number: int, vocabulary: Vocabulary, examples: int, take: Take) -> None:
    """Draws schedules with the strategy that users have."""
    faults = [kind for kind in vocabulary.kinds if kind.fault or kind.__name__ == "Tie"]

    @seed(number)
    @plain(examples)
    @given(schedules(faults=faults))
    def draw(schedule: Schedule) -> None:
        take(schedule)

    draw()


def by_machine(number: int, vocabulary: Vocabulary, examples: int, take: Take) -> None:
    """Draws schedules with a state machine as one would write it: a rule a kind, releases of what was acquired."""
    machine = seed(number)(machine_of(vocabulary, take))
    run_state_machine_as_test(machine, settings=settings(plain(examples), stateful_step_count=vocabulary.max_size))


def machine_of(vocabulary: Vocabulary, take: Take) -> type[RuleBasedStateMachine]:
    """Returns the machine."""

    class Machine(RuleBasedStateMachine):
        timers: Bundle[tuple[int, str]] = Bundle("timers")

        def __init__(self) -> None:
            super().__init__()
            self.operations: list[Operation] = []

        @rule(target=timers, fields=_fields(Acquire, vocabulary))
        def acquire(self, fields: dict[str, Any]) -> tuple[int, str]:
            self.operations.append(Acquire(**fields))
            return fields["worker"], fields["scope"]

        @rule(timer=timers, gap=field_strategies(Release, vocabulary)["gap"])
        def release(self, timer: tuple[int, str], gap: int) -> None:
            self.operations.append(Release(*timer, gap=gap))

        def teardown(self) -> None:
            take(Schedule(self.operations))

    for kind in vocabulary.kinds:
        if kind not in {Acquire, Release}:
            setattr(Machine, kind.__name__, rule(fields=_fields(kind, vocabulary))(_appending(kind)))
    return Machine


def _appending(kind: type[Operation]) -> Callable[..., None]:
    def append(self: Any, fields: dict[str, Any]) -> None:
        self.operations.append(kind(**fields))

    append.__name__ = kind.__name__
    return append


def _fields(kind: type[Operation], vocabulary: Vocabulary) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(field_strategies(kind, vocabulary))


def field_strategies(kind: type[Operation], vocabulary: Vocabulary) -> dict[str, st.SearchStrategy[Any]]:
    """Returns what draws each field of an operation."""
    return {name: st.sampled_from(among) for name, among in values(kind, vocabulary).items()}


def plain(examples: int) -> settings:
    """Returns the settings with which Hypothesis generates so many examples, and does nothing else."""
    return settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
