"""`python -m tests.benchmarks [SCALE]` prints the table; a SCALE below 1 measures less."""

import sys

from . import drawing, expires, hazards, real_processes, reaps, requests, simulation, soak, sweep, timer_table

if __name__ == "__main__":
    scale = float(sys.argv[1]) if sys.argv[1:] else 1.0
    for part in (timer_table, expires, reaps, requests, simulation, drawing, soak, real_processes, sweep, hazards):
        for row in part.rows(scale):
            sys.stdout.write(row + "\n")
            sys.stdout.flush()
