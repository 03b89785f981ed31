"""Programs in processes of their own, each with its hash seed: what is printed must not depend on it."""

import os
import subprocess
import sys


def output(program: str, hash_seed: int, timeout: float = 60) -> str:
    """Runs a program with that PYTHONHASHSEED, `timeout` seconds at most, and returns what it prints."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=timeout).stdout
