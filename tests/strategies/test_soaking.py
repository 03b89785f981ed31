"""A soak: what it reports is what the search reports, however it is spread, in whatever order, and interrupted."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pytest

from tests.quick import one_in
from timersim import MemoryTimerServer, __version__
from timersim.backends.rack import from_spec
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import backend_without
from timersim.lab.experiment import Backend
from timersim.lab.operations import Exit
from timersim.lab.report import Report
from timersim.lab.schedule import Schedule
from timersim.strategies import find_violations
from timersim.strategies.search import concluded, empty_report, tally
from timersim.strategies.soak import AHEAD, next_size, soak
from timersim.strategies.soak_state import SoakError
from timersim.strategies.soak_worker import processes, run_batch
from timersim.strategies.tally import STARTS, Catch, Tally

SCHEDULES, SEED = 150, 1

SERVERS = [None, "drain-before-expire", "reap-once", "clear-the-dead"]
SOME_SERVERS = one_in(2, SERVERS)


def spec_of(safeguard: str | None) -> dict[str, Any]:
    """Returns what rebuilds the correct server, or the one without a safeguard."""
    return {"name": "memory"} if safeguard is None else {"name": "memory", "without": safeguard}


@cache
def searched(safeguard: str | None) -> str:
    """Returns what a search on one processor finds."""
    return told(find_violations(from_spec(spec_of(safeguard)), SCHEDULES, SEED))


def told(report: Report) -> str:
    """Returns a report as text of JSON, without how long it took."""
    written = report.to_object()
    written.pop("seconds")
    return json.dumps(written)


class Backwards(Executor):
    """Runs what was submitted in the reverse order, when the first of it is waited for; counts what waits."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.most = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Returns a future that runs everything when it is waited for."""
        executor = self

        class Waiting(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                while executor.waiting:
                    executor.waiting.pop()()
                return super().result(timeout)

        future = Waiting()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        self.most = max(self.most, len(self.waiting))
        return future


def interrupt_at(schedules: int) -> Callable[[Report], None]:
    """Returns a progress that is interrupted after so many schedules."""

    def progress(report: Report) -> None:
        if report.examples >= schedules:
            raise KeyboardInterrupt

    return progress


@pytest.mark.slow
def test_a_second_interrupt_ends_its_own_processes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who interrupts the end of a soak, too, keeps the other processes that the program has started."""
    others = active_children()
    bystander = get_context("spawn").Process(target=time.sleep, args=(60,))
    bystander.start()
    interrupts = [KeyboardInterrupt()]
    shutdown = ProcessPoolExecutor.shutdown

    def interrupted(executor: ProcessPoolExecutor, *, cancel_futures: bool) -> None:
        if interrupts:
            raise interrupts.pop()
        shutdown(executor, cancel_futures=cancel_futures)

    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), processes(1) as pool:
            hanging = pool.submit(time.sleep, 60)
        assert isinstance(hanging.exception(timeout=10), BrokenExecutor)
        assert set(active_children()) == {*others, bystander}
    finally:
        bystander.kill()
        bystander.join()
        bystander.close()


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)])
def jobs_and_pool(request: pytest.FixtureRequest) -> Iterator[tuple[int, Executor]]:
    """One, two and four processes, for one soak after the other."""
    with processes(request.param) as pool:
        yield request.param, pool


@pytest.mark.parametrize("safeguard", SOME_SERVERS)
def test_a_soak_reports_what_a_search_reports(safeguard: str | None, jobs_and_pool: tuple[int, Executor]) -> None:
    """The same number and seed: the same findings, counts and goals, whatever the number of processes."""
    jobs, pool = jobs_and_pool

    assert told(soak(spec_of(safeguard), SCHEDULES, SEED, pool, jobs=jobs)) == searched(safeguard)


def test_the_searches_that_are_compared_find_something() -> None:
    """The correct server breaks nothing, and each ablation does."""
    findings = [json.loads(searched(safeguard))["violations"] for safeguard in SERVERS]

    assert [bool(found) for found in findings] == [False, True, True, True]


@pytest.mark.parametrize("safeguard", SOME_SERVERS)
def test_batches_may_end_in_any_order(safeguard: str | None) -> None:
    """Where a later batch ends before an earlier one, the report is the same."""
    executor = Backwards()

    assert told(soak(spec_of(safeguard), SCHEDULES, SEED, executor, jobs=2)) == searched(safeguard)
    assert executor.most > 1


def test_no_more_than_some_batches_are_under_way() -> None:
    """However many schedules there are, so many batches for each job are submitted ahead, and no more."""
    executor = Backwards()
    soak({"name": "memory"}, 200, executor=executor, jobs=3, seconds=1e-9)

    assert executor.most == AHEAD * 3


def test_threads_share_the_backend_of_their_process_in_turns() -> None:
    """An executor whose jobs are threads of one process reports the same."""
    with ThreadPoolExecutor(3) as executor:
        assert told(soak(spec_of("reap-once"), SCHEDULES, SEED, executor, jobs=3)) == searched("reap-once")


@cache
def at_once(safeguard: str | None) -> tuple[str, str]:
    """Returns the tally of sixty schedules as one part, and what a search reports of them."""
    backend = from_spec(spec_of(safeguard))
    return json.dumps(tally(backend, SEED, range(60)).to_object()), told(find_violations(backend, 60, SEED))


@pytest.mark.parametrize("cuts", [[0, 1, 60], [0, 30, 60], [0, 7, 8, 59, 60]])
@pytest.mark.parametrize("safeguard", SOME_SERVERS)
def test_tallies_add_up(safeguard: str | None, cuts: list[int]) -> None:
    """The tallies of parts come to that of the whole, through JSON as well, and conclude the same."""
    backend = from_spec(spec_of(safeguard))
    empty = empty_report(backend, SEED)
    added = Tally(empty)
    for begin, end in pairwise(cuts):
        part = tally(backend, SEED, range(begin, end))
        added = Tally.from_object(empty, json.loads(json.dumps(added.to_object()))).plus(part)

    assert (json.dumps(added.to_object()), told(concluded(backend, added))) == at_once(safeguard)


@pytest.mark.parametrize("safeguard", SOME_SERVERS)
def test_an_interrupted_soak_goes_on_where_it_was(safeguard: str | None, tmp_path: Path) -> None:
    """Interrupted twice and gone on with by the same call, it runs no schedule twice and reports the same."""
    state, seen = tmp_path / "state.json", [0]

    def go_on(until: int) -> Report:
        def progress(report: Report) -> None:
            seen.append(report.examples)
            interrupt_at(until)(report)

        return soak(spec_of(safeguard), SCHEDULES, SEED, Backwards(), jobs=1, state=state, progress=progress)

    first, second, last = go_on(50), go_on(100), go_on(SCHEDULES + 1)

    assert [report.is_interrupted for report in (first, second, last)] == [True, True, False]
    assert 50 <= first.examples < second.examples < SCHEDULES
    assert seen == sorted(set(seen))
    assert told(last) == searched(safeguard)


def test_the_smaller_is_kept_and_of_two_alike_the_earlier() -> None:
    """What was caught later takes the place of what was caught before only where it is smaller."""
    one, alike, two = Schedule([Exit(0)]), Schedule([Exit(1)]), Schedule([Exit(0), Exit(1)])
    small, later, large = (Catch(1, is_known=False, smallest={(): (1, each)}) for each in (one, alike, two))

    assert small.plus(large.moved(9)).smallest == small.plus(later.moved(9)).smallest == {(): (1, one)}
    assert large.plus(small.moved(9)).smallest == {(): (10, one)}


def test_batches_in_one_process_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of one process never run two batches at once."""
    inside, most = [0], [0]

    def slow(backend: Backend, seed: int, numbers: range) -> Tally:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1
        return Tally(empty_report(backend, seed))

    monkeypatch.setattr("timersim.strategies.soak_worker.tally", slow)
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda begin: run_batch({"name": "memory"}, 0, begin, begin + 1), range(8)))

    assert most == [1]


def test_a_tally_stays_small() -> None:
    """However many sets of faults an invariant was broken with, no more is kept than shrinking starts from."""
    catches = tally(from_spec(spec_of("drain-before-expire")), SEED, range(300)).catches

    assert max(len(catch.smallest) for catch in catches.values()) in {STARTS, STARTS + 1}
    assert all(catch.least in [schedule for _, schedule in catch.smallest.values()] for catch in catches.values())


def test_an_interrupted_soak_says_what_it_has_found() -> None:
    """What was found before an interrupt is reported as it was found."""
    report = soak(spec_of("reap-once"), SCHEDULES, SEED, Backwards(), progress=interrupt_at(100))

    assert report.is_interrupted
    assert "reaped-once" in report.broken
    assert all(finding.violation and not finding.is_shrunk for finding in report.findings)


def test_a_soak_that_is_done_goes_on_with_more_schedules(tmp_path: Path) -> None:
    """A larger number goes on where a smaller one was done; a smaller one is refused."""
    state = tmp_path / "state.json"
    soak({"name": "memory"}, 100, SEED, Backwards(), state=state)

    assert told(soak({"name": "memory"}, SCHEDULES, SEED, Backwards(), state=state)) == searched(None)
    with pytest.raises(SoakError, match=r"has 150 schedules already, more than --schedules 100: say more"):
        soak({"name": "memory"}, 100, SEED, Backwards(), state=state)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"seed": 2}, "is that of another soak"),
    ({"backend": {"name": "memory", "without": "reap-once"}}, "is that of another soak"),
    ({"timersim-soak": "0.0.0"}, f"was written by timersim 0.0.0, this is {__version__}"),
    ({"tally": {}}, "is no state of a soak: its tally is wrong"),
    ({"seed": "one"}, "is no state of a soak: 'seed' is 'one'"),
])  # fmt: skip
def test_a_state_that_does_not_fit_is_refused(change: Mapping[str, Any], sentence: str, tmp_path: Path) -> None:
    """The file of another soak, of another version, or one that was changed is refused, and stays as it is."""
    state = tmp_path / "state.json"
    soak({"name": "memory"}, 40, SEED, Backwards(), state=state)
    state.write_text(json.dumps(json.loads(state.read_text()) | change))
    before = state.read_text()

    with pytest.raises(SoakError, match=sentence):
        soak({"name": "memory"}, 40, SEED, Backwards(), state=state)
    assert state.read_text() == before


def test_a_state_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writing that ends halfway leaves the state that there was."""
    state = tmp_path / "state.json"
    soak({"name": "memory"}, 40, SEED, Backwards(), state=state)
    before = state.read_text()

    def full(path: Path, text: str, **_: Any) -> None:
        with path.open("w") as file:
            file.write(text[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SoakError, match=r"can't be written to .*state\.json: No space left on device"):
        soak({"name": "memory"}, 60, SEED, Backwards(), state=state)
    assert state.read_text() == before


def test_a_process_that_dies_ends_the_soak_with_a_sentence(tmp_path: Path) -> None:
    """Where a process of the soak is killed, the error says so, and how to go on; what was done is kept."""
    state = tmp_path / "state.json"
    others = active_children()

    def kill_one(report: Report) -> None:
        if report.examples >= 60:
            next(child for child in active_children() if child not in others).kill()

    with pytest.raises(SoakError, match=r"has died, after .*: killed, or out of memory .*--resume .*state\.json"):
        soak({"name": "memory"}, 10**6, SEED, jobs=2, state=state, progress=kill_one)
    assert json.loads(state.read_text())["tally"]["examples"] >= 60
    assert set(active_children()) == set(others)


def test_a_backend_that_nothing_rebuilds_is_refused() -> None:
    """A server without a name can't be made in another process; the sentence says how it could."""

    class Nameless(MemoryTimerServer):
        pass

    with pytest.raises(SoakError, match="this one has no spec; put its server at the top of a module, and name it"):
        soak(SimulatedBackend(Nameless))
    with pytest.raises(SoakError, match="which don't find nowhere:server; put its server at the top of a module"):
        soak({"name": "memory", "server": "nowhere:server"})


def test_a_backend_with_a_spec_is_soaked() -> None:
    """A backend may be given as it is."""
    assert told(soak(backend_without("reap-once"), SCHEDULES, SEED, Backwards())) == searched("reap-once")


@pytest.mark.parametrize("name", ["schedules", "jobs"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "9"])
def test_a_number_that_is_none_is_refused_by_name(name: str, value: Any) -> None:
    """Numbers of schedules and of jobs are whole and at least 1."""
    with pytest.raises(SoakError, match=rf"^{name} is a whole number of at least 1: {name}={value!r}$"):
        soak({"name": "memory"}, **{name: value})


def test_batches_grow_to_what_they_are_to_take() -> None:
    """A batch is as long as wanted by the last one's pace, four times as large at most, and never empty."""
    assert next_size(100, took=0.1, wanted=0.2) == 200
    assert next_size(100, took=0.001, wanted=1) == 400
    assert next_size(10, took=100, wanted=0.2) == 1
    assert next_size(10_000, took=0, wanted=0.2) == 20_000
