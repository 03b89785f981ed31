"""The tree of a worker's processes: who descends from it, each by its incarnation."""

import signal

from timersim.incarnation import Incarnation
from timersim.kernel import SYSTEM_KERNEL, Kernel

MOST_ROUNDS = 100
"""How often a tree is looked at again for what it has started meanwhile; each round goes one generation deeper."""


def descendants(root: Incarnation, known: dict[int, Incarnation], kernel: Kernel = SYSTEM_KERNEL) -> list[Incarnation]:
    """Adds to `known` who descends from `root` or from one of them; returns those who are new.

    This process is never among them.
    """

    def is_known(pid: int) -> bool:
        return pid in known and known[pid].alive

    found = []
    for ancestor in [root, *known.values()]:
        for incarnation in kernel.descendants(ancestor, is_known):
            known[incarnation.pid] = incarnation
            found.append(incarnation)
    return found


def freeze(root: Incarnation, known: dict[int, Incarnation], kernel: Kernel = SYSTEM_KERNEL) -> None:
    """Stops `root` and its descendants, so that none starts another one, and adds them to `known`.

    Who is stopped can still be killed. A tree that grows for MOST_ROUNDS rounds is left at what was found.
    """
    stopped: list[Incarnation] = [root, *known.values()]
    for _ in range(MOST_ROUNDS):
        for each in stopped:
            try:
                each.send_signal(signal.SIGSTOP)
            except (ProcessLookupError, PermissionError):
                continue  # it has ended, or it is not ours to stop
        stopped = descendants(root, known, kernel)
        if not stopped:
            return
