"""The soak: the search of very many schedules, in batches over any executor; it can be interrupted and gone on with."""

import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from timersim.backends.rack import from_spec
from timersim.lab.counts import check_counts
from timersim.lab.experiment import Backend
from timersim.lab.report import Report
from timersim.lab.specs import is_found_afresh
from timersim.strategies.search import concluded, empty_report
from timersim.strategies.soak_state import SoakError, SoakState
from timersim.strategies.soak_worker import processes, run_batch
from timersim.strategies.tally import Tally

SECONDS = 0.25
"""What a batch takes: much more than its dispatch to a process, little enough to be waited for at an interrupt."""

FIRST, GROWTH, LARGEST = 20, 4, 20_000
"""The schedules of the first batch, how many times as many the next one may have, and how many any may have."""

AHEAD = 3
"""How many batches for each job are under way or done before their turn."""

SAVE_EVERY = 3.0
"""Seconds between two writings of the state."""


def soak(
    backend: Backend | Mapping[str, Any],
    schedules: int = 1_000_000,
    seed: int = 0,
    executor: Executor | None = None,
    *,
    jobs: int = 2,
    state: Path | None = None,
    progress: Callable[[Report], None] = lambda report: None,
    seconds: float = SECONDS,
) -> Report:
    """Runs many generated schedules on `backend`, spread over `executor`, and reports what `find_violations` would.

    The schedules are those of `find_violations` with the same seed, and so is the report, whatever the executor and
    the number of `jobs` that it does at once. Unless given, the executor has so many processes of its own. Each process
    rebuilds the backend from its spec, so `backend` is one that has a spec, or the spec. A batch takes about `seconds`.

    With `state`, a file, what is done is written every few seconds; the same call goes on from there, also with more
    schedules. An interrupt (Ctrl-C) ends the soak, and the report says so, with what was found, not shrunk. Raises
    SoakError for wrong values, for a backend without a spec, and where a process dies.
    """
    check_counts(SoakError, schedules=schedules, jobs=jobs)
    spec = _spec(backend)
    with closing(from_spec(spec)) as made:
        done = SoakState(spec, schedules, Tally(empty_report(made, seed)))
        if state is not None:
            done = done.resumed(state)
            done.save(state)
        begun, is_interrupted = time.monotonic() - done.seconds, False
        saved = time.monotonic()
        try:
            with (
                nullcontext(executor) if executor else processes(jobs) as pool,
                closing(_tallies(pool, done, jobs, seconds)) as tallies,
            ):
                for tally in tallies:
                    done = done.at(tally, time.monotonic() - begun)
                    progress(replace(done.tally.report, seconds=done.seconds))
                    if state is not None and time.monotonic() - saved >= SAVE_EVERY:
                        done.save(state)
                        saved = time.monotonic()
        except KeyboardInterrupt:
            is_interrupted = True
        except BrokenExecutor as error:
            raise SoakError(_died(done, state, error)) from None
        finally:
            if state is not None:
                done.save(state)
        report = concluded(made, done.tally, is_interrupted=is_interrupted)
    report.backend_spec = report.backend_spec or spec
    report.seconds = time.monotonic() - begun
    return report


def _tallies(executor: Executor, state: SoakState, jobs: int, seconds: float) -> Generator[Tally]:
    """Yields the tally of all schedules so far, each time by a batch more; batches are added in their order."""
    tally, spec, seed = state.tally, state.spec, state.tally.report.seed
    begin, size = tally.report.examples, FIRST
    pending: deque[Future[Tally]] = deque()
    try:
        while pending or begin < state.schedules:
            while begin < state.schedules and len(pending) < AHEAD * jobs:
                end = min(begin + size, state.schedules)
                pending.append(executor.submit(run_batch, spec, seed, begin, end))
                begin = end
            batch = pending.popleft().result()
            size = next_size(batch.report.examples, batch.report.seconds, seconds)
            tally = tally.plus(batch)
            yield tally
    finally:
        for future in pending:
            future.cancel()


def next_size(schedules: int, took: float, wanted: float) -> int:
    """Returns of how many schedules a batch takes the `wanted` seconds, as so many `took` theirs.

    >>> next_size(100, took=0.25, wanted=0.25), next_size(100, took=1, wanted=0.25), next_size(100, took=0, wanted=1)
    (100, 25, 400)
    """
    fitting = schedules * min(GROWTH, wanted / took) if took else schedules * GROWTH
    return max(1, min(LARGEST, int(fitting)))


def _spec(backend: Backend | Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns what another process makes the backend from; SoakError where none can."""
    spec = backend.spec if isinstance(backend, Backend) else backend
    way_out = "put its server at the top of a module, and name it MODULE:NAME"
    if spec is None:
        raise SoakError(f"a soak makes its backend in other processes, by name: this one has no spec; {way_out}")
    if not is_found_afresh(spec):
        where = spec.get("server") or spec.get("worker")
        raise SoakError(f"a soak makes its backend in other processes, which don't find {where}; {way_out}")
    return spec


def _died(state: SoakState, path: Path | None, error: BrokenExecutor) -> str:
    """Returns the sentence for a process that is no more."""
    done = f"after {state.tally.report.examples:,} schedules"
    resume = f"; go on with timersim soak --resume {path}" if path else ""
    return f"a process of the soak has died, {done}: killed, or out of memory ({error}){resume}"
