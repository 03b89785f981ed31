"""The soak over many machines: a dask cluster as an executor. Needs dask, which is imported only here."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from timersim.strategies.soak_state import SoakError

SECONDS = 1.0
"""What a batch takes: a dispatch costs some milliseconds, and a scheduler has many to do."""

CONNECT = 10
"""Seconds within which the cluster has to answer."""


@contextmanager
def dask_cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """Yields an executor over the cluster at `address`, and how many jobs it does at once; SoakError without one.

    dask takes calls that look the same for one; `pure=False` keeps it from that.
    """
    try:
        from distributed import Client
    except ImportError:
        raise SoakError("--dask needs dask, which is not there: pip install 'timersim[dask]'") from None
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, ValueError, TypeError) as error:
        raise SoakError(
            f"no dask scheduler answers at {address} ({error}); start one with: dask scheduler, dask worker"
        ) from None
    with client:
        jobs = sum(client.ncores().values())
        if not jobs:
            raise SoakError(f"the dask scheduler at {address} has no worker; start one with: dask worker {address}")
        executor = client.get_executor(pure=False)
        try:
            yield executor, jobs
        finally:
            executor.shutdown(wait=False)
