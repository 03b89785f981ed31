"""Invariants that count something general in one situation: each speaks in its own, and is silent beside it."""

import pytest

from tests.lab.story import Story, broken, headlines, verdict
from timersim.lab.contract import Contract
from timersim.lab.invariants import Harm, judge
from timersim.lab.record import Instant, ServerFailed, ServerStopping, WallDrifts

LENIENT = Contract(reap_within=10)
"""What owes a reap late, so that one for a timer that was released late is all that is broken."""

NEVER = "reaped-in-time: worker 0 was due at t=7 and is alive at t=100"


def also(name: str, line: str) -> list[str]:
    """Returns a headline, and the same of another invariant."""
    return [line, f"{name}: {line.partition(': ')[2]}"]


# pause-is-not-silence


@pytest.mark.parametrize(("at", "is_in_the_pause"), [(2, False), (3, True), (4, True), (9, True), (10, False)])
@pytest.mark.parametrize("again", [None, 90])
def test_what_arrives_in_a_pause_is_heard(at: Instant, again: Instant | None, *, is_in_the_pause: bool) -> None:
    """A reap for what was superseded in a pause of the server breaks both; before or after the pause only one."""
    story = Story(LENIENT).acquire(5)
    request = story.at(at).sent(0, "s0", again)
    if at < 3:
        story.came(request).at(3).pause(9)
    elif at > 9:
        story.at(3).pause(9).at(at).came(request)
    else:
        story.at(3).pause(9).at(at).came(request)
    word = "released" if again is None else "re-armed"
    line = f"release-wins: worker 0 was reaped at t=11, but had {word} by t={at} (due t=5)"

    lines, cases = verdict(story.at(11).attempt("reaped"), "pause-is-not-silence")

    assert (lines, cases) == (also("pause-is-not-silence", line) if is_in_the_pause else [line], int(is_in_the_pause))


def test_a_reap_in_the_tick_of_a_release_in_a_pause_is_a_tie() -> None:
    """What arrives at the very end of a pause may come too late: it is a case that holds."""
    story = Story(LENIENT).acquire(5).at(3).pause(9).at(9).release().attempt("reaped")

    assert verdict(story, "pause-is-not-silence") == ([], 1)


@pytest.mark.parametrize(("due", "cases"), [(3, 1), (8, 1), (9, 1), (10, 0)])
def test_who_is_spared_since_it_was_released_in_a_pause_is_a_case(due: Instant, cases: int) -> None:
    """A timer that came due before the end of the pause in which it was released would have cost its worker's life."""
    story = Story().acquire(due).at(2).pause(9).at(6).release()

    assert verdict(story, "pause-is-not-silence") == ([], cases)


def test_the_last_of_several_timers_says_whether_it_was_a_pause() -> None:
    """Where one scope was released in the pause and a later one after it, the reap is no matter of the pause."""
    story = Story(LENIENT).acquire(5).acquire(5, "s1").at(3).pause(6).at(4).release().at(7).release("s1")

    assert broken(story.at(9).attempt("reaped")) == ["release-wins"]


def test_a_pause_before_anything_was_due_is_no_case() -> None:
    """A reap that nothing was due for is an early one, with a pause too."""
    story = Story().acquire(50).at(3).pause(9).at(4).release().at(9).attempt("reaped")

    assert verdict(story, "pause-is-not-silence") == (
        ["no-early-reap: worker 0 was reaped at t=9, and is due at t=50 at the earliest"],
        0,
    )


# wall-steps-do-not-matter

EARLY = "no-early-reap: worker 0 was reaped at t=4, and is due at t=9 at the earliest"
MOVED = "wall-steps-do-not-matter: worker 0 was due at t=9, the wall clock was moved at t={}, and it {}"


def wall_verdict(story: Story) -> tuple[list[str], int]:
    """Returns what a story breaks, and its cases of wall-steps-do-not-matter."""
    return verdict(story, "wall-steps-do-not-matter")


@pytest.mark.parametrize(("at", "is_blamed"), [(0, False), (1, True), (3, True), (4, True)])
def test_a_step_may_bring_no_reap_forward(at: Instant, *, is_blamed: bool) -> None:
    """A reap too early is blamed on a step from the tick after the registration to that of the reap."""
    story = Story().at(at).step(1).at(0) if at == 0 else Story()
    story.acquire(9 + (at == 0)).at(at)
    story = story if at == 0 else story.step(5)
    moved = [MOVED.format(at, "was reaped at t=4")] if is_blamed else []

    assert wall_verdict(story.at(4).attempt("reaped")) == ([EARLY, *moved], int(is_blamed))


def test_a_step_after_the_reap_has_not_moved_it() -> None:
    """A reap too early is not blamed on a step that came a tick later."""
    assert wall_verdict(Story().acquire(9).at(4).attempt("reaped").at(5).step(5)) == ([EARLY], 0)


@pytest.mark.parametrize(("at", "is_blamed"), [(1, True), (8, True), (9, True), (10, False), (14, False)])
def test_a_step_may_put_no_reap_off(at: Instant, *, is_blamed: bool) -> None:
    """A reap too late is blamed on a step up to when it was owed, not on one when it was late already."""
    story = Story().acquire(9).at(at).step(-5).at(14).attempt("reaped")
    late = "reaped-in-time: worker 0 was due at t=9, had to be reaped by t=9, and was reaped at t=14"
    moved = [MOVED.format(at, "was reaped at t=14")] if is_blamed else []

    assert wall_verdict(story) == ([*moved, late], int(is_blamed))


@pytest.mark.parametrize(("at", "is_blamed"), [(1, True), (9, True), (10, False)])
def test_a_step_may_prevent_no_reap(at: Instant, *, is_blamed: bool) -> None:
    """A reap that never comes is blamed on a step up to when it was owed."""
    moved = [MOVED.format(at, "is alive at t=9")] if is_blamed else []

    assert wall_verdict(Story().acquire(9).at(at).step(-5)) == (
        [*moved, "reaped-in-time: worker 0 was due at t=9 and is alive at t=100"],
        int(is_blamed),
    )


def test_a_drift_moves_the_wall_clock_too() -> None:
    """A drift is blamed as a step is."""
    story = Story().acquire(9).at(2).did(WallDrifts, 500).at(4).attempt("reaped")

    assert wall_verdict(story) == ([EARLY, MOVED.format(2, "was reaped at t=4")], 1)


def test_a_step_that_moves_nothing_is_a_case() -> None:
    """Who is reaped at its expiration in spite of a step is a case that holds, and who is released."""
    reaped = Story().acquire(9).at(2).step(5).at(9).attempt("reaped")
    released = Story().acquire(9).at(2).step(5).at(3).release()

    assert (wall_verdict(reaped), wall_verdict(released)) == (([], 1), ([], 1))


def test_a_timer_that_was_over_before_the_step_is_no_case() -> None:
    """What was released a tick before the step was not there to be moved."""
    assert wall_verdict(Story().acquire(9).at(2).release().at(3).step(5)) == ([], 0)


@pytest.mark.parametrize(("at", "cases"), [(3, 0), (4, 0), (5, 1)])
def test_what_waits_in_a_pause_is_not_registered(at: Instant, cases: int) -> None:
    """A step moves what waits in a pause, up to its end, and may not a tick later."""
    story = Story().pause(4).acquire(50).at(at).step(1).at(49).release()

    assert wall_verdict(story) == ([], cases)


def test_a_timer_that_may_be_another_s_is_no_case() -> None:
    """Where a pid had two bearers before the registration it is not sure whose timer could have been moved."""
    story = Story().pause(4).acquire(50).at(2).reuse().at(5).step(1).at(49).release(worker=1)

    assert wall_verdict(story) == ([], 0)


def test_only_the_reap_that_is_late_was_put_off() -> None:
    """Where one worker is reaped in time, and another is not, the step has put off the other's reap."""
    story = Story().begin(1).acquire(20).acquire(9, worker=1).at(2).step(-5).at(20).attempt("reaped")
    line = MOVED.format(2, "is alive at t=9").replace("worker 0", "worker 1")

    assert (wall_verdict(story)[0][0], wall_verdict(story)[1]) == (line, 2)


def test_who_keeps_its_timers_by_the_wall_is_moved_by_it() -> None:
    """Under a contract that goes by the wall clock it is right that a step moves a reap, and no case."""
    story = Story(Contract(clock="wall")).acquire(9).at(2).step(5).at(4).attempt("reaped")

    assert wall_verdict(story) == ([], 0)


def test_without_a_step_no_reap_was_moved() -> None:
    """An early reap without a step is only an early reap."""
    assert wall_verdict(Story().acquire(9).at(4).attempt("reaped")) == ([EARLY], 0)


# reap-spares-the-rest


def with_another(at: Instant, *outcomes: str) -> Story:
    """Worker 0 arms a timer at 3 that is due at 7, and is never reaped; worker 1 is attempted, and not alive then."""
    story = Story().begin(1).acquire(1, worker=1)
    if outcomes[-1] != "reaped":
        story.die(worker=1)
    story.at(1 if outcomes[-1] == "reaped" and at > 1 else 0)
    if at > 3:
        story.at(3).acquire(7)
    story.at(at)
    for outcome in outcomes:
        story.attempt(outcome, worker=1)
    return story if at > 3 else story.at(3).acquire(7)


@pytest.mark.parametrize(("at", "is_in_between"), [(2, False), (3, True), (7, True), (8, False)])
def test_the_reap_of_one_does_not_spare_another(at: Instant, *, is_in_between: bool) -> None:
    """A missed reap is counted where another worker was reaped between the arrival and the latest instant."""
    story = Story(Contract(reap_within=0)).begin(1)
    if at == 2:
        story.at(2).acquire(2, worker=1).attempt("reaped", worker=1).at(3).acquire(7)
    else:
        story.at(3).acquire(7).at(at).acquire(at, worker=1).attempt("reaped", worker=1)
    lines = also("reap-spares-the-rest", NEVER) if is_in_between else [NEVER]

    assert verdict(story, "reap-spares-the-rest") == (lines, int(is_in_between))


@pytest.mark.parametrize("outcome", ["failed", "raised", "gone"])
def test_only_a_reap_that_ended_somebody_counts_as_one(outcome: str) -> None:
    """An attempt that failed, raised or found nobody has reaped nobody."""
    assert "reap-spares-the-rest" not in broken(with_another(5, outcome))


def test_who_is_reaped_beside_another_is_a_case() -> None:
    """Two workers reaped at their instants are two cases where one reap lay between the other's."""
    story = Story().begin(1).acquire(5).acquire(7, worker=1).at(5).attempt("reaped").at(7).attempt("reaped", worker=1)

    assert verdict(story, "reap-spares-the-rest") == ([], 1)


def test_the_reap_of_its_own_former_life_is_not_that_of_another() -> None:
    """A worker that was reaped and lives again is no other one."""
    story = Story().acquire(5).at(5).attempt("reaped").again().acquire(7)

    assert headlines(story) == [NEVER]


# no-head-of-line


@pytest.mark.parametrize("outcome", ["failed", "raised"])
@pytest.mark.parametrize(("at", "is_in_between"), [(2, False), (3, True), (7, True), (8, False)])
def test_who_will_not_die_holds_up_nobody(at: Instant, outcome: str, *, is_in_between: bool) -> None:
    """A missed reap is counted where an attempt on another worker failed, or raised, in between."""
    lines = also("no-head-of-line", NEVER) if is_in_between else [NEVER]

    assert verdict(with_another(at, outcome), "no-head-of-line") == (lines, int(is_in_between))


@pytest.mark.parametrize("outcome", ["reaped", "gone"])
def test_who_dies_holds_up_nobody(outcome: str) -> None:
    """An attempt that ended a worker, or found it gone, held up nobody."""
    assert "no-head-of-line" not in broken(with_another(5, outcome))


@pytest.mark.parametrize(("at", "is_in_between"), [(2, False), (3, True), (7, True), (8, False)])
def test_who_is_stuck_while_it_sends_holds_up_nobody(at: Instant, *, is_in_between: bool) -> None:
    """A missed reap is counted where a request of another worker was stuck in between."""
    story = Story().begin(1)
    if at == 2:
        story.at(2).meddled("stalled", 4, worker=1)
    story.at(3).acquire(7)
    if at > 2:
        story.at(at).meddled("stalled", 20, worker=1)
    lines = also("no-head-of-line", NEVER) if is_in_between else [NEVER]

    assert verdict(story, "no-head-of-line") == (lines, int(is_in_between))


@pytest.mark.parametrize("fault", ["delayed", "lost", "corrupted", "duplicated", "lock held"])
def test_other_faults_of_the_wire_hold_up_nobody(fault: str) -> None:
    """A request that met with anything else is not stuck."""
    assert "no-head-of-line" not in broken(Story().begin(1).acquire(7).at(5).meddled(fault, 5, worker=1))


def test_who_is_stuck_itself_is_held_up_by_no_other() -> None:
    """A missed reap of the worker whose own request is stuck has another cause."""
    assert headlines(Story().acquire(7).at(5).meddled("stalled", 20)) == [NEVER]


def slow(victim: int, within: str = "reaping") -> Story:
    """Worker 0 is due at 7; from 5 to 8 the server is at something that it does to a worker."""
    story = Story().begin(1).acquire(1, worker=1).die(worker=1).acquire(7).at(5).pause(8, within).at(8)
    return story.attempt("gone", worker=1) if victim == 1 else story.attempt("failed")


def test_a_slow_reap_holds_up_nobody() -> None:
    """A missed reap is counted where the reap of another worker took its time in between."""
    assert verdict(slow(victim=1), "no-head-of-line") == (also("no-head-of-line", NEVER), 1)


def test_a_pause_elsewhere_in_a_pass_is_no_slow_reap() -> None:
    """A server that was paused after it had drained was not held up by a reap."""
    assert headlines(slow(victim=1, within="drained")) == [NEVER]


def test_the_slow_reap_of_itself_is_none_of_another() -> None:
    """A missed reap of the worker whose own reap took its time has another cause."""
    assert broken(slow(victim=0)) == ["reaped-in-time", "failed-reap-retried"]


def test_two_slow_reaps_at_one_instant_are_told_apart() -> None:
    """Where its own reap and that of another took their time, it was held up by the other's."""
    story = Story().begin(1).acquire(1, worker=1).die(worker=1).acquire(7).at(5).pause(6, "reaping")
    story.at(6).attempt("gone", worker=1).pause(8, "reaping").at(8).attempt("failed")

    assert broken(story) == ["reaped-in-time", "no-head-of-line", "failed-reap-retried"]


def test_who_is_reaped_while_another_will_not_die_is_a_case() -> None:
    """A reap in time beside one that fails is a case that holds."""
    story = Story().begin(1).acquire(5).acquire(5, worker=1).at(5).attempt("failed", worker=1).attempt("reaped")

    assert verdict(story.at(6).attempt("reaped", worker=1), "no-head-of-line") == ([], 1)


# restart-guards

FORGETS = Contract(restart="forgets")


def restarted(begin: Instant, end: Instant, contract: Contract | None = None) -> Story:
    """Worker 0 is due at 7 and never reaped; the server is stopped for a while."""
    return Story(contract).acquire(7).at(begin).stop().at(end).start()


@pytest.mark.parametrize(
    ("begin", "end", "is_counted"), [(2, 6, True), (2, 7, True), (2, 8, True), (7, 8, True), (8, 9, False)]
)
def test_a_restart_guards_what_is_held(begin: Instant, end: Instant, *, is_counted: bool) -> None:
    """A missed reap is counted where the server was stopped and started before it was owed."""
    lines = also("restart-guards", NEVER) if is_counted else [NEVER]

    assert verdict(restarted(begin, end), "restart-guards") == (lines, int(is_counted))


def test_who_is_reaped_after_a_restart_is_a_case() -> None:
    """A reap at the start, for what came due while the server was stopped, is a case that holds."""
    assert verdict(restarted(6, 9).attempt("reaped"), "restart-guards") == ([], 1)


def test_a_reap_a_tick_after_the_restart_is_too_late() -> None:
    """What came due while the server was stopped is reaped at the start, not a tick later."""
    late = "reaped-in-time: worker 0 was due at t=7, had to be reaped by t=9, and was reaped at t=10"

    assert headlines(restarted(6, 9).at(10).attempt("reaped")) == also("restart-guards", late)


def test_a_stop_without_a_start_guards_nobody() -> None:
    """A server that is stopped for good owes nothing."""
    assert verdict(Story().acquire(7).at(2).stop(), "restart-guards") == ([], 0)


def test_who_forgets_owes_what_it_is_asked_for_after_the_start() -> None:
    """A contract that forgets owes nothing for what was acquired before the stop, and the rest as ever."""
    before = restarted(2, 4, FORGETS)
    after = Story(FORGETS).stop().at(1).start().acquire(7)

    assert (headlines(before), headlines(after)) == ([], also("restart-guards", NEVER))


@pytest.mark.parametrize("contract", [Contract(), FORGETS])
def test_a_server_that_was_killed_has_forgotten(contract: Contract) -> None:
    """After a crash nothing is owed for what was acquired before it, and the rest as ever, whatever the contract."""
    before = Story(contract).acquire(7).at(2).crash().at(4).start()
    after = Story(contract).crash().at(1).start().acquire(7)

    assert (headlines(before), headlines(after)) == ([], also("restart-guards", NEVER))


def test_a_stop_that_did_not_return_is_a_stop() -> None:
    """A stop counts from its call."""
    story = Story().acquire(7).at(2).did(ServerStopping).at(4).start()

    assert headlines(story) == also("restart-guards", NEVER)


# poison-contained: what a bad message costs the others


@pytest.mark.parametrize(("at", "is_in_between"), [(2, False), (3, True), (7, True), (8, False)])
def test_a_bad_message_spares_nobody(at: Instant, *, is_in_between: bool) -> None:
    """A missed reap is counted where a bad message came between the arrival and the latest instant."""
    story = Story().begin(1)
    if at == 2:
        story.at(2).meddled("corrupted", 2, worker=1)
    story.at(3).acquire(7)
    if at > 2:
        story.at(at).meddled("corrupted", at, worker=1)
    lines = also("poison-contained", NEVER) if is_in_between else [NEVER]

    assert verdict(story, "poison-contained") == (lines, int(is_in_between))


@pytest.mark.parametrize(("until", "is_in_between"), [(2, False), (3, True), (4, True)])
def test_a_bad_message_counts_when_the_server_is_back(until: Instant, *, is_in_between: bool) -> None:
    """What came while the server was stopped is read at its start."""
    story = Story().begin(1).stop().at(1).meddled("corrupted", 1, worker=1).at(until).start()
    story = story.at(3).acquire(7)
    lines = [NEVER, *also("restart-guards", NEVER)[1:], *(also("poison-contained", NEVER)[1:] if is_in_between else [])]

    assert headlines(story) == lines


@pytest.mark.parametrize("fault", ["delayed", "lost", "stalled", "duplicated", "overtaken"])
def test_other_faults_of_the_wire_are_no_bad_message(fault: str) -> None:
    """A missed reap after any other fault of the wire is no matter of bad messages."""
    assert "poison-contained" not in broken(Story().begin(1).acquire(7).at(5).meddled(fault, 5, worker=1))


def test_who_is_reaped_in_spite_of_a_bad_message_is_a_case() -> None:
    """A reap in time beside a bad message is a case that holds."""
    story = Story().acquire(7).at(5).meddled("corrupted", 5).at(7).attempt("reaped")

    assert verdict(story, "poison-contained") == ([], 1)


# watchdog-survives

FAILED = "watchdog-survives: the server died at t=6: KeyError: 's'"


def test_a_watchdog_that_ends_has_not_survived() -> None:
    """A server that failed breaks it, told with the reason, and nothing else where nothing was due."""
    assert verdict(Story().start().at(6).did(ServerFailed, "KeyError: 's'"), "watchdog-survives") == ([FAILED], 1)


def test_who_is_spared_by_a_dead_watchdog_is_told_why() -> None:
    """A server that failed spares the hung: both are broken, and both say why."""
    story = Story().start().acquire(7).at(6).did(ServerFailed, "KeyError: 's'")

    assert headlines(story) == [f"{NEVER}; the server died at t=6: KeyError: 's'", FAILED]


@pytest.mark.parametrize("end", [Story.stop, Story.crash, lambda story: story.pause(50)])
def test_a_watchdog_that_is_ended_has_not_failed(end: object) -> None:
    """A server that was stopped, killed or paused from outside is a case that holds."""
    story = Story().start().at(6)
    assert callable(end)
    end(story)

    assert verdict(story, "watchdog-survives") == ([], 1)


def test_a_missed_reap_does_not_say_that_the_watchdog_ended() -> None:
    """A server that goes on watching, and spares somebody, has survived."""
    assert verdict(Story().start().acquire(7), "watchdog-survives") == ([NEVER], 1)


def test_a_server_that_never_started_is_no_case() -> None:
    """Without a start there is no watchdog to survive."""
    assert verdict(Story(), "watchdog-survives") == ([], 0)


# What they say


def test_the_rules_of_the_special_cases() -> None:
    """Each shows a rule that says what must, or must not, have been."""
    stories = [
        Story(LENIENT).acquire(5).at(3).pause(9).at(4).release().at(9).attempt("reaped"),
        Story().acquire(9).at(2).step(5).at(4).attempt("reaped"),
        restarted(2, 4),
        Story().start().at(6).did(ServerFailed, "KeyError: 's'"),
    ]
    rules = [(v.invariant.id, v.invariant.harm, v.breach.rule) for s in stories for v in judge(s.account())[0]]

    assert [rule for rule in rules if rule[0] in {"pause-is-not-silence", "wall-steps-do-not-matter"}] == [
        ("pause-is-not-silence", Harm.KILLS_THE_HEALTHY, "MUST NOT: released before due"),
        ("wall-steps-do-not-matter", Harm.KILLS_THE_HEALTHY, "MUST NOT: the wall clock moved it"),
    ]
    assert [rule for rule in rules if rule[0] in {"restart-guards", "watchdog-survives"}] == [
        ("restart-guards", Harm.SPARES_THE_HUNG, "MUST have been reaped by now"),
        ("watchdog-survives", Harm.SPARES_THE_HUNG, "MUST go on watching"),
    ]
