"""The tree of a worker's processes: who descends from it, each by its incarnation."""

import os
import signal

from timersim.incarnation import Incarnation

MOST_ROUNDS = 100
"""How often a tree is looked at again for what it has started meanwhile; each round goes one generation deeper."""


def descendants(root: Incarnation, known: dict[int, Incarnation]) -> list[Incarnation]:
    """Adds to `known` who descends from `root` or from one of them; returns those who are new.

    This process is never among them.
    """
    import psutil

    found = []
    for ancestor in [root, *known.values()]:
        try:
            children = psutil.Process(ancestor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        if not ancestor.alive:
            continue  # they may be those of the pid's next bearer
        for child in children:
            if child.pid == os.getpid() or (child.pid in known and known[child.pid].alive):
                continue
            try:
                incarnation = Incarnation.of(child.pid)
            except ProcessLookupError:
                continue
            if child.is_running() and incarnation.alive:
                known[child.pid] = incarnation
                found.append(incarnation)
            else:
                incarnation.close()
    return found


def freeze(root: Incarnation, known: dict[int, Incarnation]) -> None:
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
        stopped = descendants(root, known)
        if not stopped:
            return
