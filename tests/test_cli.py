"""The command line, as a user meets it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.command import TIMERSIM, timersim
from timersim import __version__
from timersim.backends.names import EXAMPLES
from timersim.cli_ablations import is_all_named, verdict_lines
from timersim.fakes.broken_servers import ABLATIONS
from timersim.lab import Schedule
from timersim.lab.invariants import INVARIANTS
from timersim.lab.report import Finding, Report
from timersim.strategies.ablations import AblationResult, search_ablations


def test_the_version_is_said(tmp_path: Path) -> None:
    """`timersim --version` says which version it is, and nothing else."""
    done = timersim("--version", cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"timersim {__version__}\n", "")


def test_a_short_check_of_the_correct_servers_breaks_nothing(tmp_path: Path) -> None:
    """`timersim check` with `--examples` runs so many on each of the four, kills for real, and breaks nothing."""
    done = timersim("check", "--examples", "20", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    memory, *real = [line.split() for line in done.stdout.splitlines()[:4]]
    assert memory[:3] == ["memory", "20", "schedules"]
    assert [line[:3] for line in real] == [[name, "20", "schedules"] for name in ("local", "file", "socket")]
    assert [line[-2:] for line in real] == [["real", "SIGKILLs"]] * 3
    assert min(int(line[-3]) for line in real) >= 20
    assert "BROKEN" not in done.stdout
    assert " Nothing left behind. " in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_check_of_the_correct_servers_holds(tmp_path: Path) -> None:
    """`timersim check` runs 1,000 schedules in memory and 200 on each wire of real processes; all that is new holds."""
    done = timersim("check", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    memory, local, file, socket, *table = done.stdout.splitlines()
    real = [local, file, socket]
    assert memory.split()[:3] == ["memory", "1,000", "schedules"]
    assert [line.split()[:3] for line in real] == [[n, "200", "schedules"] for n in ("local", "file", "socket")]
    assert [line.split()[-2:] for line in real] == [["real", "SIGKILLs"]] * 3
    assert min(int(line.split()[-3]) for line in real) >= 60
    assert table[0].split() == ["invariant", "exercised", "worst", "/", "allowed", "verdict"]
    verdicts = {line.split()[0]: line.split("  ")[-1].strip() for line in table[1 : 1 + len(INVARIANTS)]}
    assert verdicts == dict.fromkeys(INVARIANTS, "holds") | {
        "replay-safe": "known on memory",
        "death-contained": "known on local",
        "acquire-means-armed": "known on local",
    }
    said = " ".join(line.strip() for line in table[1 + len(INVARIANTS) :])
    first, second, third, held = re.split(r" timersim replay timersim-failures/\S+ ", said)
    assert first == "known on memory: replay-safe (requests carry no sequence)"
    assert second.startswith("known on local: death-contained (who is killed with the queue's lock takes it along)")
    assert third.startswith(
        "known on local: acquire-means-armed (the queue's feeder thread sends after put has returned"
    )
    assert held.startswith("Every invariant held (3 known): 1,600 schedules, ")
    assert " Nothing left behind. " in held
    assert done.stdout.splitlines()[-2].endswith(" --server my_module:my_server")
    assert max(map(len, done.stdout.splitlines()[-3:])) <= 80
    assert "local: 100 of 200 schedules" in done.stderr.splitlines()


def test_an_ablation_is_reported_as_a_failing_test_case(tmp_path: Path) -> None:
    """A safeguard taken out: exit status 1, the headline, the schedule, the timeline, and a file to replay."""
    done = timersim("check", "--without", "honour-releases", "--backend", "memory", "--examples", "100", cwd=tmp_path)

    assert done.returncode == 1
    (saved,) = (tmp_path / "timersim-failures").glob("release-wins-*")
    finding = done.stdout.split("\n\n")[1].splitlines()
    assert finding[0] == "release-wins: worker 0 was reaped at t=1, but had released by t=0 (due t=1)"
    assert finding[1:3] == RULE
    assert finding[3].startswith("  found after ")
    assert finding[3].endswith(" operations shrunk to 2; no fault needed")
    assert finding[4:] == [
        "  breaks as well: conservation",
        '  Schedule([Acquire(0, "s0", after=1), Release(0, "s0")])',
        "  t  worker 0        wire     server",
        "  0  acquire s0 ->1  acquire  armed, due 1",
        "     release s0      release  NOT released",
        "  1  reaped                   MUST NOT: released before due",
        "  reap of worker 0: 0 -- MUST NOT --",
        "                         ^ reaped at t=1",
        f"  show:   timersim show timersim-failures/{saved.name}",
        f"  replay: timersim replay timersim-failures/{saved.name}",
    ]


def test_the_table_of_ablations_says_what_finds_each(tmp_path: Path) -> None:
    """`--ablations` tells of each safeguard what finds it, and names those that so few schedules do not find."""
    done = timersim("check", "--ablations", "--examples", "5", "--json", "found.json", cwd=tmp_path)

    lines = done.stdout.splitlines()
    results = {result["safeguard"]: result for result in json.loads((tmp_path / "found.json").read_text())["ablations"]}
    assert (done.returncode, list(results)) == (1, list(ABLATIONS))
    assert [line for line in lines if len(line) > 80] == []
    assert [line.split()[0] for line in lines[1 : lines.index("")] if line[0] != " "] == list(ABLATIONS)
    assert f"{'reap-once':<25}{'reaped-once':<26}{results['reap-once']['examples']:>9}{1:>12}" in lines
    (alone,) = search_ablations(5, 0, ["reap-once"])
    assert results["reap-once"] == alone.to_object()
    missed = [name for name, result in results.items() if result["examples"] is None]
    assert missed
    assert {f"{name:<25}nothing" for name in missed} <= {*lines}
    verdict = " ".join(lines[lines.index("") :])
    assert "Not found: " in verdict
    assert all((name in verdict) == (not result["is_named"]) for name, result in results.items())
    assert done.stderr.splitlines()[0] == f"ablations: 10 of {len(ABLATIONS)} safeguards"


def test_ablations_that_are_all_named_are_a_success() -> None:
    """Exit status 0 and one line where each is named for its own cause; not where one is, or one was not searched."""
    named = [AblationResult(ablation, _report([ablation.breaks])) for ablation in ABLATIONS.values()]
    misnamed = [*named[:-1], AblationResult(named[-1].ablation, _report(["no-early-reap"]))]
    missed = [*named[:-1], AblationResult(named[-1].ablation, _report([]))]
    last = named[-1].ablation

    assert [is_all_named(each) for each in (named, misnamed, missed, named[:-1])] == [True, False, False, False]
    assert list(verdict_lines(named)) == [
        f"Every ablation was found, and named for its own cause: {len(named)} in 0 s."
    ]
    assert next(verdict_lines(missed)) == f"Not found: {last.safeguard}."
    assert f"Found, but not by its own invariant: {last.safeguard}" in next(verdict_lines(misnamed))


def test_an_interrupt_leaves_the_other_ablations_unjudged() -> None:
    """Whoever interrupts the search is told how far it came, not that every ablation was found."""
    ablations = list(ABLATIONS.values())
    found = [AblationResult(ablation, _report([ablation.breaks])) for ablation in ablations[:2]]
    broken_off = AblationResult(ablations[2], Report("memory", 0, is_interrupted=True))

    assert list(verdict_lines([*found, broken_off])) == [f"Interrupted: 2 of {len(ABLATIONS)} ablations in 0 s."]


def _report(broken: list[str]) -> Report:
    report = Report("memory", 0)
    report.findings = [Finding([name], Schedule(), 1, 1, None) for name in broken]
    return report


def test_an_ablation_runs_on_the_wire_that_has_the_safeguard(tmp_path: Path) -> None:
    """`--without` a safeguard of the sequence runs in memory, on the wire with one, and its file replays there."""
    done = timersim("check", "--without", "heed-the-sequence", "--examples", "40", cwd=tmp_path)
    saved = next((tmp_path / "timersim-failures").iterdir())

    assert (done.returncode, done.stdout.splitlines()[0].split()[0]) == (1, "memory")
    assert json.loads(saved.read_text())["backend"] == {"name": "memory", "without": "heed-the-sequence"}
    assert "STILL FAILS" in timersim("replay", str(saved), cwd=tmp_path).stdout


def test_a_replay_says_whether_it_still_fails(tmp_path: Path) -> None:
    """A saved failure STILL FAILS with exit status 1; where its cause is gone it is FIXED, with 0."""
    timersim("check", "--without", "reap-once", "--backend", "memory", "--examples", "20", cwd=tmp_path)
    (saved,) = (tmp_path / "timersim-failures").glob("reaped-once-*")
    name = saved.name.removesuffix(".timersim.json")

    still = timersim("replay", str(saved), cwd=tmp_path)
    assert (still.returncode, still.stdout.splitlines()[0]) == (1, f"{name}   STILL FAILS")

    content = json.loads(saved.read_text())
    del content["backend"]["without"]
    saved.write_text(json.dumps(content))
    fixed = timersim("replay", str(saved), cwd=tmp_path)
    assert (fixed.returncode, fixed.stdout) == (0, f"{name}   FIXED\n")


RULE = [
    "  rule: Nobody is reaped for timers that were all released, or re-armed, by",
    "    requests that arrived before the reap.",
]
"""How release-wins is told below its headline."""

CASE = [
    {"operation": "Acquire", "worker": 0, "scope": "s0", "after": 5, "gap": 0},
    {"operation": "PauseServer", "ticks": 6, "gap": 3},
    {"operation": "Release", "worker": 0, "scope": "s0", "gap": 1},
]
"""What breaks release-wins where the server does not drain before it expires."""


def save(folder: Path, *invariants: str, without: str = "", name: str = "case") -> str:
    """Saves it, on a server without a safeguard, and returns its file's name."""
    backend = {"name": "memory", **({"without": without} if without else {})}
    content = {"timersim": 1, "invariants": list(invariants), "backend": backend, "schedule": CASE}
    (folder / f"{name}.timersim.json").write_text(json.dumps(content))
    return f"{name}.timersim.json"


def test_show_tells_the_whole_failing_test_case(tmp_path: Path) -> None:
    """`timersim show FILE` says what is wrong, shows lanes and windows, and what to type next; exit status 1."""
    file = save(tmp_path, "release-wins", without="drain-before-expire")

    done = timersim("show", file, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "case   STILL FAILS",
        "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
        *RULE,
        "  kills the healthy; fault needed: PauseServer; on the backend memory",
        "  Schedule([",
        '      Acquire(0, "s0", after=5),',
        "      PauseServer(6, gap=3),",
        '      Release(0, "s0", gap=1),',
        "  ])",
        "  t  worker 0        wire     server",
        "  0  acquire s0 ->5  acquire  armed, due 5",
        "  3                           paused until 9",
        "  4  release s0      release  .. waiting in the queue",
        "  9  reaped                   MUST NOT: released before due",
        "  reap of worker 0: 0 -- MUST NOT --",
        "                         ^ reaped at t=9",
        "  replay: timersim replay case.timersim.json",
        "  draw:   timersim show case.timersim.json --figure case.png",
    ]


def test_show_tells_what_is_fixed(tmp_path: Path) -> None:
    """What holds by now is FIXED, with exit status 0: its lanes, and nothing that is wrong."""
    done = timersim("show", save(tmp_path, "release-wins"), cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["case   FIXED", "release-wins: holds", "  under the fault: PauseServer; on the backend memory"]
    assert lines[-4:-2] == [
        "  3                           paused until 9",
        "  4  release s0      release  .. waiting in the queue",
    ]
    assert "MUST" not in done.stdout


def test_show_tells_the_worst_of_several(tmp_path: Path) -> None:
    """Of several invariants that a file names, the worst that is broken is shown, in whatever order they stand."""
    file = save(tmp_path, "nothing-left", "dead-stay-dead", "release-wins", without="drain-before-expire")

    assert timersim("show", file, cwd=tmp_path).stdout.splitlines()[1].startswith("release-wins: ")


def test_colours_change_nothing_but_colours(tmp_path: Path) -> None:
    """On a terminal what is wrong is coloured; without the colours it is the text that a pipe gets."""
    file = save(tmp_path, "release-wins", without="drain-before-expire")
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}

    coloured = timersim("show", file, cwd=tmp_path, environment=terminal).stdout
    uncoloured = timersim("show", file, cwd=tmp_path, environment={"NO_COLOR": "1", **terminal}).stdout
    plain = timersim("show", file, cwd=tmp_path).stdout

    assert "\x1b[1;31mMUST NOT: released before due\x1b[0m" in coloured
    assert "\x1b[33mpaused until 9\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert (uncoloured, "\x1b" in plain) == (plain, False)


@pytest.mark.parametrize(("name", "begins"), [("case.png", b"\x89PNG"), ("case.svg", b"<?xml")])
def test_show_draws_a_figure(name: str, begins: bytes, tmp_path: Path) -> None:
    """`--figure` writes the failing test case as a picture, in the format of its suffix; the text stays."""
    file = save(tmp_path, "release-wins", without="drain-before-expire")

    done = timersim("show", file, "--figure", name, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == timersim("show", file, cwd=tmp_path).stdout
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_figure_without_matplotlib_is_a_wrong_call(tmp_path: Path) -> None:
    """Where matplotlib is missing the answer says so, and what to install; the text needs none."""
    file = save(tmp_path, "release-wins")
    code = "import sys; sys.modules['matplotlib'] = None; from timersim.cli import main; main()"

    def show(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", code, "show", file, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = show("--figure", "case.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "timersim: a figure needs matplotlib, which is not there: pip install matplotlib\n"
    assert show().returncode == 0


def test_the_report_is_json_too(tmp_path: Path) -> None:
    """`--json -` writes the report to standard output, and nothing else."""
    done = timersim(
        "check", "--without", "reap-once", "--backend", "memory", "--examples", "50", "--json", "-", cwd=tmp_path
    )

    (report,) = json.loads(done.stdout)["runs"]
    assert (report["backend"], report["seed"], report["examples"], report["kills"]) == ("memory", 0, 50, 0)
    assert report["violations"][0]["invariants"] == ["reaped-once"]
    assert report["violations"][0]["schedule"] == [
        {"operation": "Acquire", "worker": 0, "scope": "s0", "after": 0, "gap": 0}
    ]
    assert [finding["invariants"] for finding in report["known"]] == [["replay-safe"]]
    assert (report["no_longer"], "a crash while armed" in report["unreached"]) == ([], False)


def test_the_same_seed_gives_the_same_report(tmp_path: Path) -> None:
    """Two runs with one seed, under two hash seeds, differ in nothing but the seconds; another seed differs."""

    def report(seed: int, hash_seed: str) -> object:
        arguments = ("check", "--backend", "memory", "--backend", "local", "--examples", "8", "--json", "-")
        done = timersim(*arguments, "--seed", str(seed), cwd=tmp_path, environment={"PYTHONHASHSEED": hash_seed})
        runs = json.loads(done.stdout)["runs"]
        return [{key: value for key, value in run.items() if key != "seconds"} for run in runs]

    seven = report(7, "0")
    assert seven == report(7, "1")
    assert seven != report(8, "0")


SERVERS = """
from timersim.memory_timer import MemoryTimerServer

class Good(MemoryTimerServer):
    pass

class NeedsMore:
    def __init__(self, queue, max_interval, job): ...

class NoStop:
    def __init__(self, queue, max_interval): ...
    def start(self): ...

def needs_two(world, job): ...

def raises(world):
    raise OSError("no license")

value = 7

import threading
from timersim.fakes import SimulatedBackend

class Own(threading.Thread):
    pass

class OwnThread:
    def __init__(self, queue, max_interval): ...
    def start(self): Own().start()
    def stop(self): ...

BACKEND = SimulatedBackend(Good)
"""

GOOD_IS_NONE = "Good() raised TypeError: MemoryTimerServer.__init__() missing 1 required positional argument: 'queue'"

LEAVES = "raise SystemExit(0)"


WRONG_CALLS = [
    ("check --backend pigeon", "there is no backend 'pigeon'; there are " + ", ".join(EXAMPLES)),
    *(
        (
            f"check --ablations {more}",
            f"--ablations goes through all safeguards, in memory: no {wrong}",
        )
        for more, wrong in (
            ("--without reap-once", "--without"),
            ("--server mine:Good --all-faults", "--server and no --all-faults"),
            ("--backend local", "--backend"),
            ("--supervisor mine:Good --report page.md", "--supervisor and no --report"),
            ("--real-time", "--real-time"),
        )
    ),
    (
        "check --without reap-ones",
        "there is no safeguard 'reap-ones'; did you mean reap-once? timersim check --ablations lists them",
    ),
    (
        "check --without heed-the-sequence --backend local",
        "heed-the-sequence can't be taken out of the server of local; run it with --backend memory or socket",
    ),
    ("check --examples 0", "--examples is a whole number of at least 1: 0"),
    ("check --examples 1e3", "--examples is a whole number of at least 1: '1e3'"),
    ("check --seed 1.5", "--seed is a whole number: '1.5'"),
    ("soak --seed x", "--seed is a whole number: 'x'"),
    ("soak --jobs 2.0", "--jobs is a whole number of at least 1: '2.0'"),
    ("soak --schedules 1e6", "--schedules is a whole number of at least 1: '1e6'"),
    ("exhaust --workers two", "--workers is a whole number: 'two'"),
    ("exhaust --scopes 1.0", "--scopes is a whole number: '1.0'"),
    ("exhaust --size x", "--size is a whole number: 'x'"),
    ("compare --seed x", "--seed is a whole number: 'x'"),
    ("compare --examples x", "--examples is a whole number of at least 1: 'x'"),
    (
        "compare --without heed-the-sequence --backend file",
        "heed-the-sequence can't be taken out of the server of file; run it with --backend memory or socket",
    ),
    (
        "check --server no_such:b:x",
        "the server 'no_such:b:x' can't be imported: ModuleNotFoundError: No module named 'no_such'",
    ),
    ("check --supervisor x", "a supervisor is named MODULE:NAME, as in my_module:my_supervisor: 'x'"),
    (
        "check --server no_such:x",
        "the server 'no_such:x' can't be imported: ModuleNotFoundError: No module named 'no_such'",
    ),
    ("check --server mine:nope", "the server 'mine:nope' can't be found: mine has no 'nope'"),
    ("check --server mine", "a server is named MODULE:NAME, as in my_module:my_server: 'mine'"),
    (
        "check --server mine:NeedsMore",
        "NeedsMore is no server as it stands: __init__ wants job as well, and is called as"
        " NeedsMore(queue, max_interval); start() is missing; stop() is missing; give a function server(world)"
        " that makes one of it",
    ),
    ("check --server mine:NoStop", "NoStop is no server: stop() is missing"),
    (
        "check --server mine:needs_two",
        "needs_two(world, job) can't be called as needs_two(world): missing a required argument: 'job'",
    ),
    ("check --server mine:raises", "raises(world) raised OSError: no license"),
    ("check --server mine:value", "7 is no server: it can't be called; give a class, or a function server(world)"),
    ("check --supervisor mine:Good", GOOD_IS_NONE),
    (
        "check --supervisor mine:Pool --server mine:Good",
        "--supervisor is a backend of its own, in real time: no --server",
    ),
    ("check --supervisor mine:none", "the supervisor 'mine:none' can't be found: mine has no 'none'"),
    (
        "check --supervisor mine:BACKEND",
        "mine:BACKEND is a backend itself, memory: timersim check --server mine:BACKEND",
    ),
    (
        "check --server mine:OwnThread",
        "mine.Own is a subclass of threading.Thread, which stays in real time; let it have a thread"
        " (threading.Thread(target=…)) instead of being one",
    ),
    ("check --server leaves:x", "the server 'leaves:x' can't be imported: SystemExit: 0"),
    ("check --server mine.py:Good", "give the module, not the file: mine:Good"),
    ("check --json /no/such/x", "the report can't be written to /no/such/x: No such file or directory"),
    ("replay unknown.json", "unknown.json names an invariant that there is not: 'luck'"),
    (
        "replay odd.json",
        "a saved backend has a wrong server: 5",
    ),
    ("replay nothing.timersim.json", "nothing.timersim.json is not there"),
    ("replay mine.py", "mine.py is no saved schedule: not JSON: Expecting value: line 2 column 1 (char 1)"),
    ("show nothing.timersim.json", "nothing.timersim.json can't be read: No such file or directory"),
    ("show .", ". can't be read: Is a directory"),
    ("show mine.py", "mine.py is no saved schedule: not JSON: Expecting value: line 2 column 1 (char 1)"),
    ("show unknown.json", "unknown.json names an invariant that there is not: 'luck'"),
    ("show good.json --figure x.gif", "a figure is a file in .png or .svg: x.gif"),
    ("show good.json --figure x", "a figure is a file in .png or .svg: x"),
    (
        "show good.json --figure /no/such/x.png",
        "the figure can't be written to /no/such/x.png: No such file or directory",
    ),
    ("replay .", ". holds no saved schedule (NAME.timersim.json)"),
    ("chek", "No such command 'chek'. Did you mean 'check'?"),
]  # fmt: skip

EACH = """
import json, os, sys
from pydantic import TypeAdapter  # most calls need it, and import it late
from timersim.cli import main

for number, arguments in enumerate(json.load(sys.stdin)):
    if not (pid := os.fork()):
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv[1:] = arguments
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""Runs one command after the other, each in a process of its own that finds what is imported already."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """The exit status, the output and the errors of each wrong call, in a folder with a module and files of a user."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "mine.py").write_text(SERVERS)
    (folder / "leaves.py").write_text(LEAVES)
    saved = {"timersim": 1, "invariants": ["reaped-once"], "backend": {"name": "memory", "server": 5}, "schedule": []}
    (folder / "odd.json").write_text(json.dumps(saved))
    (folder / "good.json").write_text(json.dumps(saved | {"backend": {"name": "memory"}}))
    (folder / "unknown.json").write_text(json.dumps(saved | {"invariants": ["luck"]}))
    calls = [arguments for arguments, _ in WRONG_CALLS]
    done = subprocess.run(
        [sys.executable, "-P", "-c", EACH],
        cwd=folder, env={**os.environ, "COLUMNS": "80"}, input=json.dumps([each.split() for each in calls]),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return {
        call: (int(status), (folder / f"{number}.out").read_text(), (folder / f"{number}.err").read_text())
        for number, (call, status) in enumerate(zip(calls, done.stdout.split(), strict=True))
    }


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_CALLS)
def test_a_bad_call_is_answered_in_a_line(
    arguments: str, sentence: str, answers: dict[str, tuple[int, str, str]]
) -> None:
    """What is wrong with the call is said in one line on standard error, with exit status 2."""
    assert answers[arguments] == (2, "", f"timersim: {sentence}\n")


def test_a_server_of_the_users_is_checked(tmp_path: Path) -> None:
    """`--server MODULE:NAME` finds the module beside the caller and runs it in memory."""
    (tmp_path / "mine.py").write_text(SERVERS)

    done = timersim("check", "--server", "mine:Good", "--examples", "50", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("memory ")


@pytest.mark.parametrize(
    ("backend", "examples"), [("memory", "2000"), pytest.param("local", "400", marks=pytest.mark.slow)]
)
def test_an_interrupt_ends_the_check_and_leaves_nobody(backend: str, examples: str, tmp_path: Path) -> None:
    """Ctrl-C stops at once, reports what was done so far, and leaves no process behind."""
    command = [*TIMERSIM, "check", "--backend", backend, "--examples", examples]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"{backend}: ")  # a tenth is done
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 130, errors
    assert output.splitlines()[0].startswith(backend)
    assert output.splitlines()[-1].startswith("Interrupted: ")
    assert output.splitlines()[-1].endswith("Nothing left behind.")
    assert "Traceback" not in errors
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)


def test_a_folder_that_cannot_be_written_costs_the_file_alone(tmp_path: Path) -> None:
    """Where failures can't be saved the finding says how to replay it all the same."""
    (tmp_path / "timersim-failures").write_text("a file in the way")

    done = timersim("check", "--without", "reap-once", "--backend", "memory", "--examples", "20", cwd=tmp_path)

    assert done.returncode == 1
    assert '  replay: @example(Schedule([Acquire(0, "s0", after=0)]))' in done.stdout.splitlines()
    assert "timersim-failures can't be written" in done.stderr


def test_an_empty_name_is_no_server(tmp_path: Path) -> None:
    """`--server ""` is a wrong call, and not a check of timersim's own server."""
    done = timersim("check", "--server", "", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")


def test_a_reader_that_has_had_enough_gets_no_traceback(tmp_path: Path) -> None:
    """`timersim check | head -1` ends without a word about the pipe."""
    command = [*TIMERSIM, "check", "--backend", "memory", "--examples", "50"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()

    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.parametrize("command", ["check", "soak", "exhaust", "compare", "replay", "show"])
def test_the_examples_of_the_help_stand_on_lines_of_their_own(command: str, tmp_path: Path) -> None:
    """On a terminal of 80 columns each can be copied: none is broken, and what it does stands beside it."""
    told = timersim(command, "--help", cwd=tmp_path).stdout.partition("Options:")[0].splitlines()
    examples = [number for number, line in enumerate(told) if line.startswith(f"  timersim {command} ")]

    assert all(not told[number + 1].strip() for number in examples)


def test_the_help_teaches(tmp_path: Path) -> None:
    """`--help` names the commands, the exit statuses, the backends and the safeguards."""
    top, check, show = (timersim(*each, "--help", cwd=tmp_path) for each in ([], ["check"], ["show"]))

    assert (top.returncode, check.returncode, show.returncode) == (0, 0, 0)
    for word in ("check", "replay", "show", "Exit status"):
        assert word in top.stdout
    for word in ("MUST NOT", "--figure OUT", ".png or .svg", "Exit status: 0 it holds"):
        assert word in show.stdout
    for word in ("memory, local, file, socket,", "drain-", "--ablations", "--server MODULE:NAME", "--supervisor"):
        assert word in check.stdout
