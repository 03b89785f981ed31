"""Contracts: what a backend promises, and how exactly it can be observed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Contract:
    """What the server of a backend promises. All times are in ticks.

    `reap_within`: how late it may reap; 0 where it wakes for the next expiration, the interval of its
    passes where it polls. `retry_within`: how long after a failed reap it tries again. `transit`: how
    imprecisely an instant is known; 0 in virtual time. `restart`: whether timers that it had when it was
    stopped are guarded again after its start. `exempt`: the invariants that it is known not to keep, with
    the reason; they are judged all the same, and reported as known.

    >>> Contract(reap_within=30).reap_within
    30
    """

    reap_within: float = 0
    retry_within: float = 1
    transit: float = 0
    restart: Literal["guards-again", "forgets"] = "guards-again"
    exempt: Mapping[str, str] = field(default_factory=dict)
