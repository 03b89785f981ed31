"""Speed, as a ratio to a floor beside it: `timersim bench`, in the folder of the source."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from . import drawing, expires, hazards, real_processes, reaps, requests, simulation, soak, sweep, timer_table
from .row import Benchmark

PARTS: Mapping[str, Callable[[], Iterator[Benchmark]]] = MappingProxyType(
    {
        "timer-table": timer_table.benchmarks,
        "expires": expires.benchmarks,
        "reaps": reaps.benchmarks,
        "requests": requests.benchmarks,
        "simulation": simulation.benchmarks,
        "drawing": drawing.benchmarks,
        "soak": soak.benchmarks,
        "real-processes": real_processes.benchmarks,
        "sweep": sweep.benchmarks,
        "hazards": hazards.benchmarks,
    }
)
"""What is measured, by the names that `timersim bench` takes, in the order in which it does."""
