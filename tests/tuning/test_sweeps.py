"""A sweep: the same table on every executor, interrupted or not, and sentences for what is none."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.hash_seeds import output
from tests.tuning.experiments import dying, failing, interrupted_by_hand, late_first, noisy, timed
from timersim.tuning import SweepError, sweep
from timersim.tuning.batches import LEAST, LEAST_ON_DASK, batches
from timersim.tuning.cells import Plan

ROOT = Path(__file__).parents[2]

GRID: Mapping[str, Sequence[float]] = {"timeout_s": [1.5, 3.0, 60.0], "ranks": [8, 64]}


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    """Two processes."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def test_a_row_is_a_call() -> None:
    """The frame has a row for each call, in the order of the grid: parameters, repeat, seed, results."""
    frame = sweep(noisy, GRID, repeats=2, seed=7)

    assert list(frame.columns) == ["timeout_s", "ranks", "repeat", "seed", "lateness_s", "reaps"]
    assert frame[["timeout_s", "ranks", "repeat"]].to_numpy().tolist() == [
        [timeout, ranks, repeat] for timeout in GRID["timeout_s"] for ranks in GRID["ranks"] for repeat in (0, 1)
    ]
    assert frame["seed"].is_unique
    for row in frame.to_dict("records"):
        assert noisy(row["timeout_s"], row["ranks"], row["seed"]) == {k: row[k] for k in ("lateness_s", "reaps")}


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_seed_depends_on_its_cell_alone(number: int) -> None:
    """A cell has the same seed in a larger grid, in another order; another one with another seed of the sweep."""
    small = sweep(noisy, GRID, repeats=2, seed=number)
    large = sweep(noisy, {"ranks": [1, *GRID["ranks"]], "timeout_s": GRID["timeout_s"][::-1]}, repeats=3, seed=number)

    both = small.merge(large, on=["timeout_s", "ranks", "repeat"])
    assert len(both) == len(small)
    assert list(both["seed_x"]) == list(both["seed_y"])
    assert not set(small["seed"]) & set(sweep(noisy, GRID, repeats=2, seed=number + 1)["seed"])


def test_the_frame_does_not_depend_on_the_hash_seed() -> None:
    """In processes with other hash seeds the same sweep is the same."""
    program = (
        "from tests.tuning.experiments import noisy\nfrom timersim.tuning import sweep\n"
        "print(sweep(noisy, {'timeout_s': [1, 2], 'ranks': [8]}).to_csv())"
    )

    assert output(program, 1) == output(program, 2)


def test_the_executor_does_not_matter(processes: Executor) -> None:
    """In this process, over threads and over processes the frame is the same, to the type of each column."""
    here = sweep(noisy, GRID, repeats=20, seed=3)

    assert_frame_equal(sweep(noisy, GRID, repeats=20, seed=3, executor=processes), here)
    with ThreadPoolExecutor(3) as threads:
        assert_frame_equal(sweep(noisy, GRID, repeats=20, seed=3, executor=threads), here)
    assert here["reaps"].dtype == "int64"


def test_batches_may_end_in_any_order() -> None:
    """Where a later batch ends before an earlier one the frame is the same."""
    grid = {"timeout_s": range(60)}
    with ThreadPoolExecutor(2) as threads:
        order = [batch[0][0] for batch in batches(threads, late_first, Plan.of(grid, 1, 0), range(60), 2)]
        frame = sweep(late_first, grid, executor=threads)

    assert order != sorted(order)
    assert_frame_equal(frame, sweep(late_first, grid))


def worthwhile(done: Sequence[Sequence[Any]], least: float) -> float:
    """Returns the share of the time that went by in batches of `least` seconds and more, the last ones not counted."""
    spans = [batch[-1][1]["ended_s"] - batch[0][1]["begun_s"] for batch in done[:-2]]
    return float(sum(span for span in spans if span >= least) / sum(spans))


def test_a_dispatch_is_worth_its_cost() -> None:
    """Once it is known how long a cell takes, each batch but the last takes about 20 ms or more, and there are few."""
    plan = Plan.of({"timeout_s": range(600)}, 1, 0)
    with ThreadPoolExecutor(1) as one:
        done = list(batches(one, timed, plan, range(600), 1))

    assert sum(map(len, done)) == 600
    assert len(done) < 30
    assert worthwhile(done, LEAST / 2) > 0.8


@pytest.mark.parametrize("shape", [1, 2, 5])
def test_values_of_numpy_are_as_good(shape: int) -> None:
    """A grid of numpy's numbers, and results of its types, are those of Python's own."""
    values = np.linspace(1, 2, shape)

    assert_frame_equal(
        sweep(lambda timeout_s, seed: np.float64(timeout_s), {"timeout_s": values}),
        sweep(lambda timeout_s, seed: timeout_s, {"timeout_s": values.tolist()}),
    )


def test_a_cell_of_numpys_numbers_is_shown_as_plain_ones() -> None:
    """The cell that a note names can be typed in again, whatever its grid was made of."""
    with pytest.raises(ZeroDivisionError) as raised:
        sweep(lambda timeout_s, kind, seed: 1 / 0, {"timeout_s": np.linspace(0.5, 1, 2), "kind": np.array(["a"])})

    assert raised.value.__notes__[0].startswith("in the cell timeout_s=0.5, kind='a', seed=")
    two: Any = np.int64(2)
    assert_frame_equal(
        sweep(lambda timeout_s, seed: 1, {"timeout_s": [1]}, repeats=two, seed=two, jobs=two),
        sweep(lambda timeout_s, seed: 1, {"timeout_s": [1]}, repeats=2, seed=2, jobs=2),
    )


@pytest.mark.parametrize("executor", ["here", "processes"])
def test_an_interrupted_sweep_goes_on(executor: str, processes: Executor, tmp_path: Path) -> None:
    """Interrupted halfway and called again it computes what is missing alone, and the frame is that of a whole one."""
    stop, file = tmp_path / "stop", tmp_path / "sweep.jsonl"
    stop.touch()
    experiment = partial(interrupted_by_hand, stop=str(stop))
    grid, over = {"timeout_s": range(60)}, processes if executor == "processes" else None
    with pytest.raises(KeyboardInterrupt):
        sweep(experiment, grid, executor=over, partial=file)
    before = file.read_bytes()
    assert 1 < before.count(b"\n") < 61
    stop.unlink()

    resumed = sweep(experiment, grid, executor=over, partial=file)

    assert_frame_equal(resumed, sweep(experiment, grid))
    assert file.read_bytes().startswith(before)
    assert file.read_bytes().count(b"\n") == 61


def test_a_grid_with_a_nan_is_gone_on_with(tmp_path: Path) -> None:
    """A value that is not equal to itself is the same sweep all the same."""
    grid, file = {"timeout_s": [math.nan, 1.0]}, tmp_path / "sweep"

    first = sweep(lambda timeout_s, seed: seed, grid, partial=file)
    assert_frame_equal(sweep(lambda timeout_s, seed: seed, grid, partial=file), first)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    """A sweep that is whole in its file calls nothing."""
    calls = []

    def counting(timeout_s: float, seed: int) -> float:
        calls.append(timeout_s)
        return timeout_s / 3

    first = sweep(counting, {"timeout_s": [1, 2]}, partial=tmp_path / "file")

    assert_frame_equal(sweep(counting, {"timeout_s": [1, 2]}, partial=tmp_path / "file"), first)
    assert calls == [1, 2]


@pytest.mark.parametrize("cut", [0, 1, 5, 40, 200, -1])
def test_a_file_that_is_cut_off_is_gone_on_with(cut: int, tmp_path: Path) -> None:
    """Wherever a kill cut the file off, the same call gives the same frame, and the same file but for its order."""
    whole = sweep(noisy, GRID, partial=tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[:cut])

    assert_frame_equal(sweep(noisy, GRID, partial=tmp_path / "file"), whole)
    assert sorted((tmp_path / "file").read_bytes().splitlines()) == sorted(data.splitlines())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"file is of another sweep: its seed is 0, not 1; name another file, or remove it"),
        ({"repeats": 2}, r"its repeats is 1, not 2"),
        (
            {"grid": {"timeout_s": [1.5], "ranks": [8]}},
            r"its grid is .*, not \{'timeout_s': \[1\.5\], 'ranks': \[8\]\}",
        ),
        ({"experiment": dying}, r"its experiment is 'tests\.tuning\.experiments\.noisy', not '.*dying'"),
    ],
)
def test_a_file_of_another_sweep_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A file of another seed, number of repeats, grid or experiment is refused, and stays as it is."""
    sweep(noisy, GRID, partial=tmp_path / "file")
    before = (tmp_path / "file").read_bytes()

    with pytest.raises(SweepError, match=message):
        sweep(**{"experiment": noisy, "grid": GRID, "partial": tmp_path / "file", **changes})
    assert (tmp_path / "file").read_bytes() == before


@pytest.mark.parametrize("text", ["hello\n", "{}\n", "[1, 2]\n", '{"kind": "timersim sweeps"', "\x00\xff", "1\n"])
def test_what_is_no_file_of_a_sweep_is_refused(text: str, tmp_path: Path) -> None:
    """Somebody's other file is refused, and stays as it is."""
    (tmp_path / "file").write_text(text)

    with pytest.raises(SweepError, match="file is no file of a sweep; name another one, or remove it"):
        sweep(noisy, GRID, partial=tmp_path / "file")
    assert (tmp_path / "file").read_text() == text


@pytest.mark.parametrize("place", [".", "missing/file"])
def test_a_file_that_can_t_be_written_is_refused(place: str, tmp_path: Path) -> None:
    """A folder, or a file in one that is not there, is named, with a way out."""
    with pytest.raises(SweepError, match=r"^partial='.*' can't be written: .*directory; name another file$"):
        sweep(noisy, GRID, partial=tmp_path / place)


def test_what_the_experiment_raises_names_its_cell(processes: Executor) -> None:
    """Its exception goes through, here and from other processes, with the arguments that repeat it."""
    for executor in (None, processes):
        with pytest.raises(ZeroDivisionError, match="three") as caught:
            sweep(failing, {"timeout_s": [1, 3]}, executor=executor)
        assert caught.value.__notes__ == [
            f"in the cell timeout_s=3, seed={Plan.of({'timeout_s': [3]}, 1, 0).cell(0).seed} of the sweep"
        ]


def test_a_process_that_dies_is_a_sentence(tmp_path: Path) -> None:
    """Where a process is killed the sweep says so, and what was done can be gone on from."""
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(SweepError, match=r"has died, after \d+ cells: killed.*partial='.*file' to go on"),
    ):
        sweep(dying, {"timeout_s": range(400)}, executor=pool, partial=tmp_path / "file")
    assert len((tmp_path / "file").read_text().splitlines()) > 2


def test_a_worker_of_dask_that_dies_is_a_sentence() -> None:
    """What dask raises where a worker was killed again and again is told in the same way."""
    from distributed import KilledWorker

    class Killed(Executor):
        """Has its workers killed."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            """Returns a future that has failed."""
            future: Future[Any] = Future()
            future.set_exception(KilledWorker("run_batch", SimpleNamespace(address="tcp://10.0.0.1:1"), 3))
            return future

    with pytest.raises(SweepError, match=r"a process of the sweep has died, after 0 cells.*give partial=FILE to go on"):
        sweep(noisy, GRID, executor=Killed())


def test_what_other_processes_dont_find_is_refused(processes: Executor) -> None:
    """A lambda can't go to another process; in this one it runs."""
    with pytest.raises(SweepError, match=r"other processes don't find the experiment .*put it at the top of a module"):
        sweep(lambda timeout_s, seed: 1, {"timeout_s": [1]}, executor=processes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grid": {}}, "a grid has at least one parameter"),
        ({"grid": {"timeout_s": []}}, "a grid has for each parameter at least one value: timeout_s"),
        ({"grid": {"timeout_s": 5}}, "a grid has for each parameter a sequence of values: timeout_s=5"),
        ({"grid": {"timeout_s": "abc"}}, "a grid has for each parameter a sequence of values: timeout_s='abc'"),
        ({"grid": {"timeout_s": [1, 2, 1]}}, r"a grid has each value of a parameter once: timeout_s=\[1, 2, 1\]"),
        (
            {"grid": {"timeout_s": [object]}},
            "the parameter timeout_s is a number, a text, a truth or None: <class 'obj",
        ),
        ({"grid": {"seed": [1]}}, "a parameter is called as an argument, and not repeat or seed: 'seed'"),
        ({"grid": {"a b": [1]}}, "a parameter is called as an argument, and not repeat or seed: 'a b'"),
        ({"repeats": 0}, "repeats is a whole number of at least 1: repeats=0"),
        ({"seed": -1}, "seed is a whole number of at least 0: seed=-1"),
        ({"jobs": 0}, "jobs is a whole number of at least 1: jobs=0"),
        (
            {"experiment": lambda timeout_s, seed: [1]},
            r"the result 'value' is a number, a text, a truth or None: \[1\]",
        ),
        (
            {"experiment": lambda timeout_s, seed: {"seed": 1}},
            "'seed' is called as a column that the sweep has already",
        ),
        (
            {"experiment": lambda timeout_s, seed: {}},
            r"returns a number, or results by name: \{\} in the cell timeout_s",
        ),
    ],
)
def test_what_is_no_sweep_is_a_sentence(wrong: dict[str, Any], message: str) -> None:
    """Each wrong argument is named with its value."""
    with pytest.raises(SweepError, match=message):
        sweep(**{"experiment": lambda timeout_s, seed: 1, "grid": {"timeout_s": [1]}, **wrong})


def test_a_bar_is_drawn_where_somebody_sees_it(tmp_path: Path) -> None:
    """On no terminal nothing is drawn; on one it is, and wiped away; without progress it is not."""
    program = (
        "from timersim.tuning import sweep\nimport sys\n"
        "sweep(lambda timeout_s, seed: 1, {'timeout_s': range(50)}, progress=len(sys.argv) == 1)"
    )

    def drawn(*arguments: str, terminal: bool) -> str:
        environment = {"FORCE_COLOR": "1"} if terminal else {}
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True, text=True, check=True, env={"PATH": "", "TERM": "xterm", **environment},
        )  # fmt: skip
        assert done.stdout == ""
        return done.stderr

    assert "50/50" in drawn(terminal=True)
    assert drawn(terminal=False) == drawn("quiet", terminal=True) == ""


CLUSTER = """
import json, sys
from distributed import Client, LocalCluster
from tests.tuning.experiments import noisy, timed
from timersim.tuning import sweep
from timersim.tuning.batches import batches, jobs_of
from timersim.tuning.cells import Plan

if __name__ == "__main__":
    grid = {"timeout_s": [1.5, 3.0, 60.0], "ranks": [8, 64]}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        frame = sweep(noisy, grid, repeats=50, executor=client.get_executor(pure=False))
        over, plan = client.get_executor(pure=False), Plan.of({"timeout_s": range(6000)}, 1, 0)
        print(json.dumps([jobs_of(over), list(batches(over, timed, plan, range(6000), jobs_of(over)))]))
    frame.to_json(sys.argv[1], orient="table", double_precision=15)
"""


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_frame(tmp_path: Path) -> None:
    """Over the worker processes of a dask cluster the frame is that of this process; batches are half a second long."""
    (tmp_path / "cluster.py").write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, "cluster.py", "frame.json"],
        cwd=tmp_path, env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    jobs, lots = json.loads(done.stdout)
    assert (jobs, sum(map(len, lots))) == (2, 6000)
    assert worthwhile(lots, LEAST_ON_DASK / 2) > 0.5
    here = sweep(noisy, GRID, repeats=50)
    there = json.loads((tmp_path / "frame.json").read_text())["data"]
    assert_frame_equal(pd.DataFrame(there).drop(columns="index"), here)


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("pandas", "timersim.tuning.sweep"),
        ("scipy", "timersim.tuning.choose_timeout"),
        ("matplotlib", "timersim.tuning.plot_clocks(timersim.tuning.jumping_clocks([]))"),
    ],
)
def test_a_missing_library_is_a_sentence(library: str, use: str) -> None:
    """Without a library the package can be imported; to use what needs it says what to install."""
    program = f"""
import sys
sys.modules[{library!r}] = None
import timersim.tuning
try:
    {use}
except ModuleNotFoundError as error:
    print(error)
"""

    assert output(program, 0) == (
        f"timersim.tuning needs {library}, which is not there: pip install 'timersim[tuning]'\n"
    )
