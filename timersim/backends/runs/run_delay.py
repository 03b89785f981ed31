"""How long threads and processes were ready to run and had to wait for a processor, as the kernel counts it.

Of /proc/PID/task/TID/schedstat and of /proc/PID/schedstat it is the second number, in nanoseconds
(Documentation/scheduler/sched-stats.rst). Linux only; a kernel that does not count says 0.
"""

import os
from pathlib import Path

TASKS = Path("/proc/self/task")


class RunDelay:
    """The delay of every thread of this process that is started after this was made.

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
                self._delays[thread] = _nanoseconds(TASKS / thread)
            except OSError:
                continue  # it has ended, or the kernel does not count
        return sum(self._delays.values()) / 1e9


def run_delay(pid: int) -> float:
    """Returns for how many seconds a process has been ready to run and had no processor; 0 where that is not known.

    >>> run_delay(os.getpid()) >= 0
    True
    """
    try:
        return _nanoseconds(Path(f"/proc/{pid}")) / 1e9
    except OSError:
        return 0.0


def _nanoseconds(task: Path) -> int:
    return int((task / "schedstat").read_text(encoding="ascii").split()[1])
