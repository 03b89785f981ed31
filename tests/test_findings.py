"""The page of findings: made by a command, in agreement with a fresh run, and true to torch's words."""

import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command import timersim
from timersim.backends.names import make_backend
from timersim.cli_findings import Entry, Witness, entries, page_lines
from timersim.fakes import SimulatedBackend
from timersim.lab import (
    Acquire,
    Contract,
    Corrupt,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Pause,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Resume,
    Reuse,
    Schedule,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
    run,
)
from timersim.promises import PROMISES, promise_of
from timersim.strategies.causes import find_causes

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "findings.md"

VOCABULARY = {
    kind.__name__: kind
    for kind in (
        *(Acquire, Corrupt, Crash, CrashServer, CrashSending, Delay, Drift, Duplicate, Exit, FailReap, Flood, Pause),
        *(PauseInPass, PauseServer, RaiseInReap, Release, Reorder, RestartServer, Resume, Reuse, Schedule, Stall),
        *(Start, StartServer, StepWall, StopServer, Suspend),
    )
}

TWICE = {"dead-stay-dead": ["reaped-once"]}
"""A second kill at one instant finds a simulated worker as a zombie, a real one gone."""

SERVER = """
from timersim.memory_timer import MemoryTimerServer

class Forgetful(MemoryTimerServer):
    def _reap_expired(self, expired):
        return set(expired)
"""


def told() -> Iterator[tuple[str, str, Schedule]]:
    """Yields what the page tells in full: the system, the invariant and the schedule."""
    for part in PAGE.read_text().split("\n## ")[1:]:
        system, invariant = part.splitlines()[0].split(": ")
        [literal] = re.findall(r"^Schedule\(\[.*\]\)$", part, re.MULTILINE)
        yield system, invariant, eval(literal, VOCABULARY)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_page_agrees_with_a_fresh_run(tmp_path: Path) -> None:
    """The command at its top makes the page that is kept, to the letter."""
    pytest.importorskip("torch")
    [command] = re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE)
    (tmp_path / "docs").mkdir()

    done = timersim(*shlex.split(command)[1:], cwd=tmp_path, timeout=1200)

    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
    assert (tmp_path / "docs" / "findings.md").read_text() == PAGE.read_text()


@pytest.mark.torch
def test_what_the_page_tells_still_breaks() -> None:
    """Each schedule that the page tells in full breaks its invariant, with simulated workers, which know all faults."""
    pytest.importorskip("torch")
    found = list(told())
    for system in ("torch-local", "torch-file"):
        with closing(make_backend(f"{system}-memory")) as backend:
            for _, invariant, schedule in [each for each in found if each[0] == system]:
                trace = run(schedule, backend)
                broken = {v.invariant.id for v in (*trace.violations, *trace.known)}
                assert broken & {invariant, *TWICE.get(invariant, ())}, schedule

    assert len(found) >= 20


@pytest.mark.torch
def test_what_torch_is_quoted_with_stands_in_its_source() -> None:
    """Each quotation in a sentence about torch is found in its source."""
    pytest.importorskip("torch")
    spec = find_spec("torch.distributed.elastic.timer")
    assert spec is not None
    assert spec.origin is not None
    source = "\n".join(path.read_text() for path in sorted(Path(spec.origin).parent.glob("*.py")))
    words = plain(source)

    quoted = [quote for promise in PROMISES.values() for quote in re.findall(r'"([^"]+)"', promise.sentence)]
    assert [quote for quote in quoted if plain(quote) not in words] == []
    assert len(quoted) >= len(PROMISES) / 2


def plain(text: str) -> str:
    """Returns a text without what differs where it is wrapped, quoted or marked up."""
    return " ".join(re.sub(r'["#`]', " ", text).lower().split())


def test_every_documented_behaviour_is_on_the_page() -> None:
    """What torch documents on purpose is marked so, in the table and in its section."""
    page = PAGE.read_text()
    documented = [key for key, promise in PROMISES.items() if promise.is_documented]

    assert page.count("| documented |") == page.count("- *Documented*: ") == len(documented)


def test_a_page_is_written_for_any_server(tmp_path: Path) -> None:
    """A user's own server gets a page: what it breaks, without a fault, and by which invariant of timersim's."""
    (tmp_path / "mine.py").write_text(SERVER)
    arguments = ["check", "--server", "mine:Forgetful", "--examples", "3", "--report", "my findings.md"]

    done = timersim(*arguments, cwd=tmp_path, timeout=1200)

    page = (tmp_path / "my findings.md").read_text()
    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
    assert "$ timersim check --server mine:Forgetful --examples 3 --report 'my findings.md'" in page
    assert "| memory | [reaped-in-time](#memory-reaped-in-time) | spares the hung | none |" in page
    assert promise_of("memory", "reaped-in-time").sentence in page


def test_a_page_without_findings_says_so() -> None:
    """Where nothing was found the page says that, with what was tried."""
    backend = SimulatedBackend(contract=Contract())
    report = find_causes(backend, max_examples=2)

    lines = list(page_lines([report], [backend], "timersim check", lambda name, finding: ""))

    assert lines[-1] == "Nothing was found."
    assert (
        f"| memory | {report.examples:,} | {report.operations:,} | reaps within 0 ticks of the monotonic clock |"
        in lines
    )


def test_without_real_processes_the_witness_says_why() -> None:
    """What only simulated workers can do is said to need them, with the operations that it is."""
    from timersim.lab.report import Finding

    witness = Witness()
    finding = Finding(["reaped-once"], Schedule([Reuse(0, 0), Acquire(0, "s0", after=0)]), 1, 1, None)
    try:
        assert witness("memory", finding) == "simulated workers only, for Reuse"
    finally:
        witness.close()


def test_two_findings_with_the_same_faults_are_one_entry() -> None:
    """Of one system and one invariant the first finding with each set of faults counts."""
    from timersim.memory_timer import MemoryTimerServer

    backend = SimulatedBackend(
        type("Never", (MemoryTimerServer,), {"_reap_expired": lambda self, due: set(due)}), patch=()
    )
    report = find_causes(backend, max_examples=3)

    once: list[Entry] = entries([report], lambda name, finding: "")
    assert [len(entry.findings) for entry in entries([report, report], lambda name, finding: "")] == [
        len(entry.findings) for entry in once
    ]
    assert once
