"""Invariants: each speaks for its own cause, and holds where it is close."""

import copy
import pickle
from collections.abc import Callable

import pytest

from tests.lab.story import Story, headlines
from timersim.lab import invariants
from timersim.lab.contract import Contract
from timersim.lab.invariants import INVARIANTS, Harm, InvariantViolation, judge
from timersim.lab.invariants.duties import lateness
from timersim.lab.record import (
    Attempted,
    Left,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
)

BREAKING: dict[str, tuple[Callable[[], Story], str]] = {
    "no-early-reap": (
        lambda: Story().acquire(5).at(4).attempt("reaped"),
        "no-early-reap: worker 0 was reaped at t=4, and is due at t=5 at the earliest",
    ),
    "no-early-reap, of two scopes": (
        lambda: Story().acquire(9, "s1").acquire(7).at(6).attempt("reaped"),
        "no-early-reap: worker 0 was reaped at t=6, and is due at t=7 at the earliest",
    ),
    "release-wins, released": (
        lambda: Story().acquire(5).at(4).release().at(9).attempt("reaped"),
        "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
    ),
    "release-wins, re-armed": (
        lambda: Story().acquire(5).at(5).acquire(50).at(6).attempt("reaped"),
        "release-wins: worker 0 was reaped at t=6, but had re-armed by t=5 (due t=5)",
    ),
    "release-wins, the last of two": (
        lambda: Story().acquire(3).acquire(5, "s1").at(1).release().at(4).release("s1").at(9).attempt("reaped"),
        "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
    ),
    "release-wins, the last that was released": (
        lambda: (
            Story(Contract(reap_within=2))
            .acquire(3)
            .acquire(5, "s1")
            .at(1)
            .release("s1")
            .at(4)
            .release()
            .at(9)
            .attempt("reaped")
        ),
        "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=3)",
    ),
    "right-set, a stranger": (
        lambda: Story().at(3).attempt_stranger("pid 1"),
        "right-set: pid 1 was to be reaped at t=3, and is no worker",
    ),
    "right-set, a bystander": (
        lambda: Story().at(3).attempt("reaped"),
        "right-set: worker 0 was reaped at t=3, and never held a timer",
    ),
    "right-set, before the acquire": (
        lambda: Story().at(3).attempt("reaped").at(4).acquire(90),
        "right-set: worker 0 was reaped at t=3, and never held a timer",
    ),
    "right-incarnation": (
        lambda: Story().acquire(5).at(1).die("sigkill").again((0, 0)).at(5).attempt("reaped"),
        "right-incarnation: worker 0 was to be reaped at t=5, for a timer of worker 0, which bore its pid before",
    ),
    "silent-after-stop": (
        lambda: Story().acquire(5).at(4).stop().at(5).attempt("reaped"),
        "silent-after-stop: worker 0 was reaped at t=5, and stop had returned at t=4",
    ),
    "reaped-once": (
        lambda: Story().acquire(5).at(5).attempt("reaped").attempt("reaped"),
        "reaped-once: worker 0 was reaped at t=5, and again at t=5",
    ),
    "dead-stay-dead, reaped": (
        lambda: Story().acquire(5).at(5).attempt("reaped").at(6).attempt("gone"),
        "dead-stay-dead: worker 0 was seen gone at t=5, and a reap was attempted at t=6",
    ),
    "dead-stay-dead, gone": (
        lambda: Story().acquire(5).die("exit").at(5).attempt("gone").at(7).attempt("failed"),
        "dead-stay-dead: worker 0 was seen gone at t=5, and a reap was attempted at t=7",
    ),
    "reaped-in-time, never": (
        lambda: Story().acquire(5),
        "reaped-in-time: worker 0 was due at t=5 and is alive at t=100",
    ),
    "reaped-in-time, late": (
        lambda: Story(Contract(reap_within=10)).acquire(5).at(16).attempt("reaped"),
        "reaped-in-time: worker 0 was due at t=5, had to be reaped by t=15, and was reaped at t=16",
    ),
    "failed-reap-retried, at once": (
        lambda: Story().acquire(5).at(5).attempt("failed").attempt("failed").at(6).attempt("reaped"),
        "failed-reap-retried: worker 0: a reap failed at t=5, and was tried again at once",
    ),
    "failed-reap-retried, late": (
        lambda: Story(Contract(reap_within=3)).acquire(5).at(5).attempt("raised").at(7).attempt("reaped"),
        "failed-reap-retried: worker 0: a reap failed at t=5, and was not tried again by t=6",
    ),
    "nothing-left": (
        lambda: Story().at(9).did(Left, "thread 'watchdog'"),
        "nothing-left: thread 'watchdog' outlived the run",
    ),
}

RULES = {
    "no-early-reap": "MUST NOT: nothing was due",
    "release-wins, released": "MUST NOT: released before due",
    "release-wins, re-armed": "MUST NOT: re-armed before the reap",
    "right-set, a stranger": "MUST NOT: no worker",
    "right-set, a bystander": "MUST NOT: held no timer",
    "silent-after-stop": "MUST NOT: stop had returned",
    "reaped-once": "MUST NOT: reaped already",
    "dead-stay-dead, gone": "MUST NOT: was seen gone",
    "reaped-in-time, late": "MUST have been reaped by now",
    "nothing-left": "MUST NOT be left",
}

HOLDING: dict[str, tuple[Callable[[], Story], str, int]] = {
    "reaped at the expiration": (lambda: Story().acquire(5).at(5).attempt("reaped"), "no-early-reap", 1),
    "a failed reap tried again in time": (
        lambda: Story().acquire(5).at(5).attempt("failed").at(6).attempt("reaped"),
        "failed-reap-retried",
        1,
    ),
    "the next bearer of a pid for a timer of its own": (
        lambda: Story().acquire(5).at(1).die("exit").again((0, 0)).acquire(9).at(9).attempt("reaped"),
        "right-incarnation",
        1,
    ),
    "one scope due, one not": (
        lambda: Story().acquire(5).acquire(50, "s1").at(5).attempt("reaped"),
        "no-early-reap",
        1,
    ),
    "reaped in the tick of the release": (
        lambda: Story(Contract(reap_within=9)).acquire(5).at(6).release().attempt("reaped"),
        "release-wins",
        1,
    ),
    "one scope released, one due": (
        lambda: Story().acquire(5).acquire(5, "s1").at(4).release().at(5).attempt("reaped"),
        "release-wins",
        1,
    ),
    "an attempt on a dead worker that held a timer": (
        lambda: Story().acquire(5).die("exit").at(5).attempt("gone"),
        "right-set",
        1,
    ),
    "a failed attempt on a bystander": (lambda: Story().attempt("failed"), "right-set", 1),
    "reaped while stop was on its way": (
        lambda: Story().acquire(5).at(5).did(ServerStopping).attempt("reaped").did(ServerStopped),
        "silent-after-stop",
        1,
    ),
    "reaped in the tick of the next start": (
        lambda: Story().acquire(5).at(4).stop().at(6).did(ServerStarted).attempt("reaped"),
        "silent-after-stop",
        1,
    ),
    "two incarnations, each reaped once": (
        lambda: (
            Story().acquire(5).at(5).attempt("reaped").at(6).again().acquire(7).at(7).attempt("reaped")
        ),
        "reaped-once",
        2,
    ),
    "failed, then reaped": (
        lambda: Story().acquire(5).at(5).attempt("failed").at(6).attempt("reaped"),
        "dead-stay-dead",
        1,
    ),
    "seen gone, then another life attempted": (
        lambda: Story().acquire(5).die("exit").again().at(5).did(Attempted, 0, 0, "worker 0", "gone").at(6)
        .acquire(7).at(7).attempt("reaped"),
        "dead-stay-dead",
        2,
    ),
    "reaped at the latest instant": (
        lambda: Story(Contract(reap_within=10)).acquire(5).at(15).attempt("reaped"),
        "reaped-in-time",
        1,
    ),
    "reaped at the end of a pause": (
        lambda: Story().acquire(5).at(4).did(ServerPaused, 9).at(9).attempt("reaped"),
        "reaped-in-time",
        1,
    ),
    "nothing was left": (lambda: Story(), "nothing-left", 1),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKING)
def test_an_invariant_speaks_for_its_own_cause_and_no_other_does(case: str) -> None:
    """A record that breaks one invariant breaks that one alone, and is told in one line."""
    tell, headline = BREAKING[case]

    assert headlines(tell()) == [headline]


@pytest.mark.parametrize("case", RULES)
def test_the_rule_says_what_must_or_must_not_have_been(case: str) -> None:
    """The timeline bears the rule that was broken, told apart where one invariant has two."""
    (violation,), _ = judge(BREAKING[case][0]().account())

    assert violation.breach.rule == RULES[case]
    assert violation.timeline.count(RULES[case]) == 1


@pytest.mark.parametrize("case", HOLDING)
def test_an_invariant_holds_where_it_is_close(case: str) -> None:
    """A record that comes close to breaking an invariant breaks none, and counts as a case."""
    tell, name, exercised = HOLDING[case]
    violations, counts = judge(tell().account())

    assert [violation.headline for violation in violations] == []
    assert counts[name] == exercised


def test_every_invariant_is_broken_and_held_by_some_record() -> None:
    """There is a breaking and a holding record for each invariant: here, or in the room of the special cases."""
    special = {
        *("pause-is-not-silence", "wall-steps-do-not-matter", "reap-spares-the-rest", "no-head-of-line"),
        *("restart-guards", "watchdog-survives"),
    }
    tables = {"replay-safe", "scope-isolation", "poison-contained", "death-contained", "acquire-means-armed"}
    tables.add("conservation")

    assert {case.split(",")[0] for case in BREAKING} | special | tables == set(INVARIANTS)
    assert {name for _, name, _ in HOLDING.values()} | special | tables == set(INVARIANTS)


def test_the_cases_of_every_invariant_are_counted() -> None:
    """Broken and kept cases alike are counted, for each invariant its own."""
    story = Story().acquire(5).at(4).stop().at(6).start().attempt("reaped").attempt("reaped")
    story.at(7).attempt("gone").attempt_stranger("pid 1").did(Left, "a").did(Left, "b")

    assert judge(story.account())[1] == {
        **dict.fromkeys(INVARIANTS, 0),
        "no-early-reap": 2,
        "release-wins": 2,
        "right-set": 4,
        "silent-after-stop": 1,
        "reaped-once": 1,
        "dead-stay-dead": 1,
        "reaped-in-time": 1,
        "restart-guards": 1,
        "watchdog-survives": 1,
        "nothing-left": 2,
    }


def test_where_nothing_happened_nothing_is_exercised_but_the_end() -> None:
    """An empty run exercises nothing; that nothing is left is a case."""
    assert judge(Story().account())[1] == {**dict.fromkeys(INVARIANTS, 0), "nothing-left": 1}


def test_violations_come_worst_first() -> None:
    """First what kills the healthy, then what spares the hung, then what leaves things behind."""
    story = Story().acquire(5).at(4).attempt("reaped").did(Left, "a fifo").again()
    story.acquire(6)

    violations, _ = judge(story.account())

    assert [violation.invariant.id for violation in violations] == ["no-early-reap", "reaped-in-time", "nothing-left"]
    assert [entry.harm for entry in INVARIANTS.values()] == sorted(entry.harm for entry in INVARIANTS.values())


def test_one_broken_invariant_is_one_violation_the_first() -> None:
    """An invariant that is broken twice is reported once, where it was broken first."""
    story = Story().at(3).attempt_stranger("pid 1").at(4).attempt_stranger("pid 0")

    assert headlines(story) == ["right-set: pid 1 was to be reaped at t=3, and is no worker"]


def test_silence_after_stop_covers_attempts_of_every_outcome() -> None:
    """After stop no attempt may be made, on whomever and however it ends."""
    for outcome in ("reaped", "failed", "raised", "gone"):
        story = Story().acquire(50).stop().at(60).attempt(outcome)
        assert [line.split(":")[0] for line in headlines(story)] == ["silent-after-stop"]


def test_who_died_later_is_not_said_to_be_alive_at_the_end() -> None:
    """Who had to be reaped and died of something else later is not said to live when the run ends."""
    (line,) = headlines(Story().acquire(5).at(8).die("sigkill"))

    assert line.startswith("reaped-in-time: worker 0 was due at t=5")
    assert "alive at t=100" not in line


def test_each_violation_is_a_class_of_its_own() -> None:
    """Each invariant has its own subclass of InvariantViolation, named for it, with the statement as its docstring."""
    assert {name: entry.violation.__name__ for name, entry in INVARIANTS.items()} == {
        "no-early-reap": "NoEarlyReap",
        "release-wins": "ReleaseWins",
        "pause-is-not-silence": "PauseIsNotSilence",
        "wall-steps-do-not-matter": "WallStepsDoNotMatter",
        "right-set": "RightSet",
        "right-incarnation": "RightIncarnation",
        "silent-after-stop": "SilentAfterStop",
        "reaped-once": "ReapedOnce",
        "dead-stay-dead": "DeadStayDead",
        "replay-safe": "ReplaySafe",
        "reaped-in-time": "ReapedInTime",
        "reap-spares-the-rest": "ReapSparesTheRest",
        "no-head-of-line": "NoHeadOfLine",
        "restart-guards": "RestartGuards",
        "failed-reap-retried": "FailedReapRetried",
        "watchdog-survives": "WatchdogSurvives",
        "scope-isolation": "ScopeIsolation",
        "poison-contained": "PoisonContained",
        "death-contained": "DeathContained",
        "acquire-means-armed": "AcquireMeansArmed",
        "nothing-left": "NothingLeft",
        "conservation": "Conservation",
    }
    for entry in INVARIANTS.values():
        assert entry.violation.__mro__[1:3] == (InvariantViolation, AssertionError)
        assert (entry.violation.invariant, entry.violation.__doc__) == (entry, entry.statement)
        assert getattr(invariants, entry.violation.__name__) is entry.violation


def test_every_statement_is_a_sentence() -> None:
    """Each invariant states its claim in one sentence."""
    assert [entry.statement for entry in INVARIANTS.values() if not entry.statement.endswith(".")] == []


def test_the_harm_of_each_invariant() -> None:
    """What kills the healthy, what spares the hung and what leaves things behind."""
    kills = {
        *("no-early-reap", "release-wins", "pause-is-not-silence", "wall-steps-do-not-matter", "right-set"),
        *("right-incarnation", "silent-after-stop", "reaped-once", "dead-stay-dead", "replay-safe"),
    }
    leaves = {"nothing-left", "conservation"}

    assert {name: entry.harm for name, entry in INVARIANTS.items()} == {
        **dict.fromkeys(INVARIANTS, Harm.SPARES_THE_HUNG),
        **dict.fromkeys(kills, Harm.KILLS_THE_HEALTHY),
        **dict.fromkeys(leaves, Harm.LEAVES_THINGS_BEHIND),
    }


def test_the_general_invariants_say_what_is_wrong() -> None:
    """Four say what is wrong, the others why; of these six are counted in a situation alone."""
    general = [name for name, entry in INVARIANTS.items() if entry.is_general]
    situated = [name for name, entry in INVARIANTS.items() if entry.situation]

    assert general == ["no-early-reap", "release-wins", "reaped-in-time", "conservation"]
    assert situated == [
        *("pause-is-not-silence", "wall-steps-do-not-matter", "reap-spares-the-rest", "no-head-of-line"),
        *("restart-guards", "poison-contained"),
    ]


def test_the_text_of_a_violation_is_the_whole_failing_test_case() -> None:
    """A violation says what broke, the schedule, the backend, the timeline and how to replay."""
    (violation,), _ = judge(Story().acquire(5).at(4).attempt("reaped").account())

    assert str(violation) == "\n".join(
        [
            "no-early-reap: worker 0 was reaped at t=4, and is due at t=5 at the earliest",
            '  Schedule([Acquire(0, "s0", after=5)])  on paper',
            "",
            "  t  worker 0        wire     server",
            "  0  acquire s0 ->5  acquire  armed, due 5",
            "  4  reaped                   MUST NOT: nothing was due",
            "  reap of worker 0: 0 -- MUST NOT -- 5 -- MUST --",
            "                         ^ reaped at t=4",
            '  replay: @example(Schedule([Acquire(0, "s0", after=5)]))',
        ]
    )


@pytest.mark.parametrize("case", BREAKING)
def test_a_copy_of_a_violation_is_of_its_class_and_says_the_same(case: str) -> None:
    """A violation can be copied: the copy is of the same class and says the same."""
    (violation,), _ = judge(BREAKING[case][0]().account())
    twin = copy.copy(violation)

    assert (type(twin), str(twin)) == (type(violation), str(violation))


def test_a_violation_survives_pickle() -> None:
    """Every violation can be sent to another process, and says the same there."""
    for tell, _ in BREAKING.values():
        (violation,), _ = judge(tell().account())
        twin = pickle.loads(pickle.dumps(violation))

        assert (type(twin), str(twin)) == (type(violation), str(violation))


def test_a_changed_replay_line_survives_a_copy() -> None:
    """How to replay may be told otherwise, and a copy says so too."""
    (violation,), _ = judge(Story().acquire(5).account())
    violation.replay = "timersim replay here"

    assert str(copy.copy(violation)).endswith("  replay: timersim replay here")


def test_lateness_is_counted_from_when_the_server_could_know() -> None:
    """A reap is as late as it came after the expiration, the arrival, or the end of the pause that covered them."""
    lenient = Contract(reap_within=10)
    stories = [
        Story(lenient).acquire(5).at(8).attempt("reaped"),
        Story(lenient).at(7).acquire(5).at(8).attempt("reaped"),
        Story(lenient).acquire(5).at(4).did(ServerPaused, 9).at(11).attempt("reaped"),
        Story(lenient).acquire(5),
    ]

    assert [list(lateness(story.account())) for story in stories] == [[3], [1], [2], []]
