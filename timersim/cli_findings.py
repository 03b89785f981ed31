"""The page of findings: what a check has found, one cause at a time, and how often it was seen on real processes."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from timersim import __version__
from timersim.backends.names import REAL, BackendError, make_backend
from timersim.cli_files import writing
from timersim.fakes.servers import ServerError
from timersim.lab.experiment import Backend, run
from timersim.lab.invariants import INVARIANTS
from timersim.lab.report import Finding, Report, plural
from timersim.lab.schedule import Schedule
from timersim.promises import Promise, promise_of

TIMES = 10
"""How often a shrunk schedule is run on real processes."""


@dataclass(slots=True)
class Entry:
    """What breaks one invariant first of all: the findings, each with how often it was `seen` on real processes."""

    system: str
    findings: list[tuple[Finding, str]] = field(default_factory=list)

    @property
    def first(self) -> Finding:
        """The one that is told in full."""
        return self.findings[0][0]

    @property
    def invariant(self) -> str:
        """What its findings are named by."""
        return self.first.invariants[0]

    @property
    def promise(self) -> Promise:
        """What it breaks, in a sentence."""
        return promise_of(self.system, self.invariant)


def system_of(backend: str) -> str:
    """Returns what is under test on a backend, whatever its workers are.

    >>> system_of("torch-file-memory")
    'torch-file'
    """
    return backend.removesuffix("-memory")


def entries(reports: Sequence[Report], see: Callable[[str, Finding], str]) -> list[Entry]:
    """Arranges findings by system and invariant; of two with the same faults the first counts."""
    found: dict[tuple[str, str], Entry] = {}
    told: set[tuple[str, str, tuple[str, ...]]] = set()
    for report in reports:
        system = system_of(report.backend)
        for finding in (*report.findings, *report.known):
            key = system, finding.invariants[0]
            if (*key, tuple(finding.faults)) in told or finding.violation is None:
                continue
            told.add((*key, tuple(finding.faults)))
            found.setdefault(key, Entry(system)).findings.append((finding, see(report.backend, finding)))
    systems = list(dict.fromkeys(system_of(report.backend) for report in reports))
    return sorted(found.values(), key=lambda entry: (systems.index(entry.system), entry.first.rank))


class Witness:
    """Runs shrunk schedules on real processes, and says how often they broke there what they break.

    `server` is that of the command line.
    """

    def __init__(self, server: str | None = None) -> None:
        self._server = server
        self._backends: dict[str, Backend | str] = {}

    def __call__(self, name: str, finding: Finding) -> str:
        backend = self._backend(REAL.get(name, name))
        if isinstance(backend, str):
            return backend
        if missing := sorted({type(o).__name__ for o in finding.schedule if type(o) not in backend.operations}):
            return f"simulated workers only, for {', '.join(missing)}"
        try:
            broken = [_broken(finding.schedule, backend) for _ in range(TIMES)]
        except ServerError:
            return f"simulated workers only: the server does not run on {backend.name}"
        seen = sum(finding.invariants[0] in names for names in broken)
        others = "" if seen else ", ".join(name for name in INVARIANTS if any(name in names for names in broken))
        return f"{seen} of {TIMES} runs on real processes{f', which break {others} instead' if others else ''}"

    def close(self) -> None:
        """Ends the processes."""
        for backend in self._backends.values():
            if isinstance(backend, Backend):
                backend.close()

    def _backend(self, name: str) -> Backend | str:
        """Returns the backend with real processes, or why there is none."""
        if name not in self._backends:
            self._backends[name] = self._made(name)
        return self._backends[name]

    def _made(self, name: str) -> Backend | str:
        try:
            backend = make_backend(name, server=self._server, pin=True)
        except BackendError:
            return f"simulated workers only: the server does not run on {name}"
        return backend if backend.is_real else "simulated workers only"


def _broken(schedule: Schedule, backend: Backend) -> set[str]:
    trace = run(schedule, backend)
    return {violation.invariant.id for violation in (*trace.violations, *trace.known)}


def software_of(backends: Sequence[Backend]) -> list[str]:
    """Returns what is under test, with its version, after timersim's own."""
    found = {"timersim": __version__}
    for backend in backends:
        server = (backend.spec or {}).get("server") or ("torch" if backend.name.startswith("torch-") else "timersim")
        package = server.partition(":")[0].partition(".")[0]
        for distribution in packages_distributions().get(package, ()):
            with suppress(PackageNotFoundError):
                found.setdefault(distribution, version(distribution).partition("+")[0])
    return [f"{name} {number}" for name, number in found.items()]


def write_page(file: Path, reports: Sequence[Report], backends: Sequence[Backend], server: str | None = None) -> None:
    """Writes the page, with the command that makes it at its top."""
    witness = Witness(server)
    try:
        lines = list(page_lines(reports, backends, command_of(sys.argv[1:]), witness))
    finally:
        witness.close()
    with writing(file):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def command_of(arguments: Sequence[str]) -> str:
    """Returns a command as it is typed.

    >>> command_of(["check", "--server", "my module:server"])
    "timersim check --server 'my module:server'"
    """
    return shlex.join(["timersim", *arguments])


def page_lines(
    reports: Sequence[Report], backends: Sequence[Backend], command: str, see: Callable[[str, Finding], str]
) -> Iterator[str]:
    """Yields the lines of the page, in Markdown."""
    found = entries(reports, see)
    yield from ("# Findings", "")
    yield "What `timersim check` has found, without a fault and with one kind of fault at a time, shrunk to the"
    yield "smallest schedule. This page is generated; only the sentences after *Promised* and *Documented* are reviewed"
    yield "by hand."
    yield from ("", "```console", f"$ {command}", "```", "")
    yield f"{', '.join(software_of(backends))}; seed {reports[0].seed}."
    yield from ("", "| backend | schedules | operations | contract |", "|---|---|---|---|")
    for report, backend in zip(reports, backends, strict=True):
        yield f"| {report.backend} | {report.examples:,} | {report.operations:,} | {_contract(backend)} |"
    yield from ("", "| system | finding | it | fault needed | seen | |", "|---|---|---|---|---|---|")
    for entry in found:
        harm = INVARIANTS[entry.invariant].harm.name.lower().replace("_", " ")
        link = f"[{entry.invariant}](#{_anchor(_title(entry))})"
        mark = "documented" if entry.promise.is_documented else ""
        seen = entry.findings[0][1]
        yield f"| {entry.system} | {link} | {harm} | {_faults(entry.first)} | {seen} | {mark} |"
    if not found:
        yield from ("", "Nothing was found.")
    for entry in found:
        yield from _story(entry)


def _story(entry: Entry) -> Iterator[str]:
    finding, seen = entry.findings[0]
    assert finding.violation is not None  # as `entries` has seen to
    yield from ("", f"## {_title(entry)}", "")
    yield f"{_sentence(finding)}."
    yield from ("", f"- *{'Documented' if entry.promise.is_documented else 'Promised'}*: {entry.promise.sentence}")
    yield f"- *Breaks*: {', '.join(finding.invariants)}; fault needed: {_faults(finding)}; {seen}."
    yield f"- *Found* after {plural(finding.examples, 'schedule')}, in one of {plural(finding.found_at, 'operation')}."
    yield from ("", "```text", repr(finding.schedule), "", *finding.violation.timeline.splitlines(), "```")
    if entry.findings[1:]:
        yield from ("", "Also by:", "")
    for other, how_often in entry.findings[1:]:
        yield f"- {_faults(other)}; {how_often}: `{other.schedule!r}`. {_sentence(other)}."


def _sentence(finding: Finding) -> str:
    assert finding.violation is not None
    sentence = finding.violation.breach.sentence
    return sentence[:1].upper() + sentence[1:]


def _title(entry: Entry) -> str:
    return f"{entry.system}: {entry.invariant}"


def _anchor(title: str) -> str:
    """Returns what a heading is linked by."""
    return title.lower().replace(" ", "-").replace(":", "")


def _faults(finding: Finding) -> str:
    stops = {type(o).__name__ for o in finding.schedule} & {"StopServer", "StartServer"}
    return ", ".join(finding.faults) or (
        f"none (with {' and '.join(sorted(stops, reverse=True))})" if stops else "none"
    )


def _contract(backend: Backend) -> str:
    contract = backend.contract
    return f"reaps within {contract.reap_within:g} ticks of the {contract.clock} clock"
