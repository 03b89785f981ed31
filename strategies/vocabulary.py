"""Vocabularies: what schedules are made of, and what of it a backend can carry out."""

from collections.abc import Sequence
from dataclasses import dataclass

from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend
from timersim.lab.operations import EVERYTHING, PLAIN, SENDING, Operation, SendingPoint


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What schedules are made of: the kinds of operations, and how much of each there may be.

    At the points `sending` a worker may be killed while it sends.
    """

    kinds: Sequence[type[Operation]] = PLAIN
    max_workers: int = 3
    max_scopes: int = 2
    max_size: int = 12
    sending: Sequence[SendingPoint] = SENDING


def kinds_under(contract: Contract) -> tuple[type[Operation], ...]:
    """Returns the operations that every backend can carry out, and the faults that a contract survives."""
    return tuple(kind for kind in EVERYTHING if kind in PLAIN or kind.__name__ in contract.survives)


def vocabulary_of(backend: Backend) -> Vocabulary:
    """Returns what a backend can carry out and its contract survives."""
    kinds = (kind for kind in kinds_under(backend.contract) if kind in backend.operations)
    return Vocabulary(tuple(kinds), max_scopes=backend.max_scopes, sending=backend.sending)
