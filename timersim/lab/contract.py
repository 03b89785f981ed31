"""Contracts: what a backend promises, and how exactly it can be observed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Contract:
    """What the server of a backend promises. All times are in ticks.

    `clock`: the clock by which it keeps its timers; with "wall" they come due when the wall clock says so, however
    it was stepped since. `reap_within`: how late it may reap; 0 where it wakes for the next expiration, the interval
    of its passes where it polls. `retry_within`: how long after a failed reap it tries again. `transit`: how
    imprecisely an instant is known; 0 in virtual time. `restart`: whether timers that it had when it was
    stopped are guarded again after its start. `identity`: whether it guards the incarnation that acquired, or
    whoever bears its pid. `order`: whether requests carry a sequence by which duplicates and those that were
    overtaken are ignored, or count as they arrive. `survives`: the faults, by the names of their operations,
    under which it keeps all this, besides those that every backend can carry out; a search draws no others.
    `exempt`: the invariants that it is known not to keep, with the reason; they are judged all the same, and
    reported as known.

    >>> Contract(reap_within=30).reap_within
    30
    """

    clock: Literal["monotonic", "wall"] = "monotonic"
    reap_within: float = 0
    retry_within: float = 1
    transit: float = 0
    restart: Literal["guards-again", "forgets"] = "guards-again"
    identity: Literal["incarnation", "pid"] = "incarnation"
    order: Literal["arrival", "sequence"] = "arrival"
    survives: frozenset[str] = frozenset()
    exempt: Mapping[str, str] = field(default_factory=dict)
