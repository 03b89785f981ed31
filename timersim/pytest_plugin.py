"""The pytest plugin: backends for a session, worlds for a test. It imports timersim where a fixture is used."""

import sys
from collections.abc import Callable, Generator, Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from timersim.backends import ProcessBackend
    from timersim.fakes import FaultyRequestQueue, SimulatedBackend, SimulatedWorld, VirtualClock
    from timersim.lab import Backend
    from timersim.memory_timer import MemoryTimerClient
    from timersim.pytest_saved import SavedFile

MARKER = (
    "timersim(*, max_interval=60, start=1_000_000, patch=[]): shapes the worlds of a test, in virtual seconds;"
    " patch names the modules that live in the time of patched_time"
)

OPTIONS = {"max_interval": 60.0, "start": 1_000_000.0}
"""What the marker shapes, with what it is by default; `timersim_max_interval` and `timersim_start` are the ini's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--timersim-backend`, and what an ini file may say."""
    group = parser.getgroup("timersim")
    group.addoption(
        "--timersim-backend",
        action="append",
        metavar="NAME",
        help="what the fixture timer_backend is: memory, local, torch-file; may be repeated (default: memory)",
    )
    for name, value in OPTIONS.items():
        parser.addini(f"timersim_{name}", f"{name} of the worlds of timersim, in virtual seconds", default=str(value))


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", MARKER)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the processes of the saved schedules' backends."""
    saved = sys.modules.get("timersim.pytest_saved")
    if saved is not None and saved.RACK in config.stash:
        config.stash[saved.RACK].close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Has a test of `timer_backend` run on each of the backends that were asked for."""
    if "timer_backend" in metafunc.fixturenames:
        names = metafunc.config.getoption("timersim_backend") or ["memory"]
        metafunc.parametrize("timer_backend", list(dict.fromkeys(names)), indirect=True, scope="session")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "SavedFile | None":
    """Collects saved schedules as tests."""
    if not file_path.name.endswith(".timersim.json"):
        return None
    from timersim.pytest_saved import SavedFile, is_wanted

    return SavedFile.from_parent(parent, path=file_path) if is_wanted(file_path, parent.session) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failing test's report what its world has seen, and how to replay it."""
    report = yield
    if report.when == "call" and report.failed:
        from timersim.pytest_report import add_section

        add_section(item, call, report)
    return report


@pytest.fixture(scope="session")
def simulated_backend() -> "SimulatedBackend":
    """timersim's own server with simulated workers in virtual time; goes with `@given`."""
    from timersim.fakes import SimulatedBackend

    return SimulatedBackend(spec={"name": "memory"})


@pytest.fixture(scope="session")
def process_backend() -> "Iterator[ProcessBackend]":
    """timersim's own server with real workers, really killed, in virtual time; goes with `@given`."""
    from timersim.backends import ProcessBackend

    backend = ProcessBackend(spec={"name": "local"})
    backend.warm()
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def timer_backend(request: pytest.FixtureRequest) -> "Iterator[Backend]":
    """Each backend that `--timersim-backend` names, `memory` by default; goes with `@given`."""
    from timersim.backends.names import BackendError, make_backend

    try:
        backend = make_backend(request.param)
    except (BackendError, RuntimeError) as error:
        pytest.fail(f"--timersim-backend {request.param}: {error}", pytrace=False)
    backend.warm()
    yield backend
    backend.close()


@pytest.fixture
def timer_world(request: pytest.FixtureRequest) -> "Iterator[SimulatedWorld]":
    """A watchdog in virtual time, with `.clock`, `.queue`, `.server` and `.client(worker_id)`."""
    from timersim.fakes import simulated_world

    with simulated_world(**_options(request)) as world:
        yield world


@pytest.fixture
def virtual_clock(timer_world: "SimulatedWorld") -> "VirtualClock":
    """The clock of `timer_world`."""
    return timer_world.clock


@pytest.fixture
def patched_time(request: pytest.FixtureRequest, virtual_clock: "VirtualClock") -> "Iterator[VirtualClock]":
    """`virtual_clock`, which the test's own module and those that the marker names take for `time` and `datetime`.

    `@pytest.mark.timersim(patch=["my_package.poller"])` names modules that read the time, or sleep, and take no clock.
    """
    from timersim.fakes import patch_time
    from timersim.fakes.patch import importable

    markers = request.node.iter_markers("timersim")
    named = [name for marker in markers for name in importable(marker.kwargs.get("patch")) or ()]
    with patch_time(virtual_clock, [request.module, *named]):
        yield virtual_clock


@pytest.fixture
def timer_queue(timer_world: "SimulatedWorld") -> "FaultyRequestQueue":
    """The queue of `timer_world`."""
    return timer_world.queue


@pytest.fixture
def timer_server(timer_world: "SimulatedWorld") -> Any:
    """The watchdog of `timer_world`; `reaped` lists whom it reaped."""
    return timer_world.server


@pytest.fixture
def timer_client(timer_world: "SimulatedWorld") -> "Callable[[Hashable], MemoryTimerClient]":
    """Makes clients of `timer_world`: `timer_client("rank 3")`."""
    return timer_world.client


@pytest.fixture
def no_leftovers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails the test that leaves something behind, as `timersim.backends.no_leftovers` does; FIFOs in `tmp_path`, too.

    What belongs to the session, as a backend with its workers, was there before.
    """
    from timersim.backends import LeftoverError
    from timersim.backends import no_leftovers as watch

    try:
        with watch(tmp_path_factory.getbasetemp()):
            yield
    except LeftoverError as error:
        pytest.fail(str(error), pytrace=False)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Returns what the marker closest to the test says, else the ini file."""
    options = {name: float(request.config.getini(f"timersim_{name}")) for name in OPTIONS}
    for marker in reversed(list(request.node.iter_markers("timersim"))):
        unknown = [repr(value) for value in marker.args] + sorted(marker.kwargs.keys() - OPTIONS.keys() - {"patch"})
        if unknown:
            pytest.fail(
                f"@pytest.mark.timersim takes {', '.join([*OPTIONS, 'patch'])}: not {', '.join(unknown)}", pytrace=False
            )
        options |= {name: value for name, value in marker.kwargs.items() if name in OPTIONS}
    return options
