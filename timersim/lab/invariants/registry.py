"""What an invariant is: a named claim about every trace, with what breaks it and the exception of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from timersim.lab.hints import how_to_replay, to_paste
from timersim.lab.layout import plain
from timersim.lab.operations import Operation
from timersim.lab.oracle import Account
from timersim.lab.record import Instant, Life, Record
from timersim.lab.timeline import render


class Harm(IntEnum):
    """What a broken invariant does to people, worst first."""

    KILLS_THE_HEALTHY = 0
    SPARES_THE_HUNG = 1
    LEAVES_THINGS_BEHIND = 2


@dataclass(slots=True)
class Breach:
    """One case in which an invariant is broken: when, by what it did to which life, in a sentence."""

    at: Instant
    life: Life | None
    sentence: str
    rule: str


Cases = Iterator[Breach | None]
"""The cases that an invariant speaks about, None where it held."""


class InvariantViolation(AssertionError):
    """An invariant that a trace breaks; one subclass an invariant. Its text is the whole failing test case."""

    invariant: "Invariant"

    def __init__(self, record: Record, breach: Breach) -> None:
        super().__init__(record, breach)
        self.record = record
        self.breach = breach
        self.replay = f"@example({record.schedule!r})"

    @property
    def headline(self) -> str:
        """The invariant and what broke it, in one line."""
        return f"{self.invariant.id}: {self.breach.sentence}"

    @property
    def timeline(self) -> str:
        """What happened, as lanes of text, with the rule where it was broken."""
        return render(self.record, self.breach.at, self.breach.rule, self.breach.life)

    def __str__(self) -> str:
        schedule = plain(to_paste(self.record.schedule, f"  on {self.record.backend}"))
        replay = plain(how_to_replay(self.replay, self.record.schedule))
        return f"{self.headline}\n{schedule}\n\n{self.timeline}\n{replay}"


Situation = Callable[[Operation, Breach], bool]
"""Whether an operation has to do with the situation in which an invariant was broken."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A claim about every trace: `judge` yields its cases, `violation` is the exception of its own.

    One that `is_general` says what is wrong, the others say why. Those that count it in a `situation` alone are broken
    for their own cause where nothing general is broken without what belongs to that in the schedule.
    """

    id: str
    statement: str
    harm: Harm
    judge: Callable[[Account], Cases]
    violation: type[InvariantViolation]
    is_general: bool = False
    situation: Situation | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """What it is sorted by: its harm, then the order of them all."""
        return self.harm, list(INVARIANTS).index(self.id)


INVARIANTS: dict[str, Invariant] = {}
"""Every invariant by its id, worst harm first."""

_PACKAGE = __name__.rpartition(".")[0]


def invariant(
    harm: Harm, *, is_general: bool = False, situation: Situation | None = None
) -> Callable[[Callable[[Account], Cases]], Callable[[Account], Cases]]:
    """Registers a function as the invariant of its name, with an exception class of its own."""

    def register(judge: Callable[[Account], Cases]) -> Callable[[Account], Cases]:
        statement = (judge.__doc__ or "").strip()
        words = judge.__name__.split("_")
        name = "".join(map(str.capitalize, words))
        attributes = {"__doc__": statement, "__module__": _PACKAGE}
        violation: type[InvariantViolation] = type(name, (InvariantViolation,), attributes)
        entry = Invariant("-".join(words), statement, harm, judge, violation, is_general, situation)
        violation.invariant = entry
        INVARIANTS[entry.id] = entry
        return judge

    return register


def made_by(*kinds: type[Operation]) -> Situation:
    """Returns the situation that operations of these kinds make."""
    return lambda operation, breach: isinstance(operation, kinds)
