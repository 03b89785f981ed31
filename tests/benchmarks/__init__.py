"""Speed, as a ratio to a floor beside it: `python -m tests.benchmarks`."""
