"""The command, as a user has it: in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TIMERSIM = [sys.executable, "-P", "-m", "timersim"]
"""The command, which doesn't have the current folder in `sys.path`."""


def timersim(
    *arguments: str,
    cwd: Path,
    before: str = "",
    out: int = subprocess.PIPE,
    err: int = subprocess.PIPE,
    timeout: float = 120,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs the command in `cwd`, on a terminal of 80 columns, after the code that comes `before`."""
    program = [*TIMERSIM[:2], "-c", f"{before}\nfrom timersim.__main__ import main; main()"] if before else TIMERSIM
    return subprocess.run(
        [*program, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **(environment or {})},
        stdout=out,
        stderr=err,
        text=True,
        timeout=timeout,
        check=False,
    )
