"""How long threads were ready to run and had to wait for a processor, as the kernel counts it."""

import os
from pathlib import Path

TASKS = Path("/proc/self/task")


class RunDelay:
    """The delay of every thread of this process that is started after this was made. Linux only.

    Of /proc/PID/task/TID/schedstat it is the second number, in nanoseconds (Documentation/scheduler/sched-stats.rst).
    A kernel that does not count says 0.

    >>> RunDelay().seconds()
    0.0
    """

    def __init__(self) -> None:
        self._before = set(os.listdir(TASKS))  # noqa: PTH208 - names are what is wanted
        self._delays: dict[str, int] = {}

    def seconds(self) -> float:
        """Returns how long they waited, all together; of one that has ended what was seen of it last."""
        for thread in set(os.listdir(TASKS)) - self._before:  # noqa: PTH208 - as above
            try:
                self._delays[thread] = int((TASKS / thread / "schedstat").read_text(encoding="ascii").split()[1])
            except OSError:
                continue  # it has ended, or the kernel does not count
        return sum(self._delays.values()) / 1e9
