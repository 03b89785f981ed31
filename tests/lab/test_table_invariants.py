"""Invariants of a server's table: each speaks for its own cause, and is silent where it is close."""

import math
from collections.abc import Callable

import pytest

from tests.lab.story import Story, broken, headlines, holds, verdict
from timersim.backends.wires.local_wire import HAZARDS
from timersim.lab.contract import Contract
from timersim.lab.invariants import Harm, judge
from timersim.lab.record import Instant, Meddled, ServerFailed, Table

SEQUENCED = Contract(order="sequence")
KNOWN = Contract(exempt={"replay-safe": "requests carry no sequence"})
QUEUE = Contract(exempt=HAZARDS)

BOTH = holds("s0", "s1")

# Every timer here is due at 200, when the run is over: nothing is owed, and no reap comes.


def armed(*scopes: str, contract: Contract | None = None) -> Story:
    """The scopes of worker 0 are acquired, and registered at once."""
    story = Story(contract)
    for scope in scopes:
        story.acquire(200, scope)
    return story.registered(*range(len(scopes)), after=holds(*scopes))


# replay-safe

REPLAYED = "replay-safe: at t=2 the timer s0 of worker 0 was changed by a request that came twice, or too late"


def duplicated(after: Table, contract: Contract | None = SEQUENCED) -> Story:
    """An acquire is released at 1, and comes again at 2, which leaves the table so."""
    story = armed("s0", contract=contract).at(1).release().registered(1, after={})
    return story.at(2).came(0).registered(0, after=after)


def overtaken(after: Table, contract: Contract | None = SEQUENCED) -> Story:
    """A release overtakes its acquire, which comes at 2 and leaves the table so."""
    story = Story(contract)
    acquire = story.sent(0, "s0", 200)
    return story.at(1).release().registered(1, after={}).at(2).came(acquire).registered(acquire, after=after)


@pytest.mark.parametrize("tell", [duplicated, overtaken])
@pytest.mark.parametrize("contract", [SEQUENCED, KNOWN])
def test_a_replay_that_changes_the_table_is_unsafe(tell: Callable[..., Story], contract: Contract) -> None:
    """What came twice, or too late, and counts breaks it: with sequences, and where it is known without."""
    assert verdict(tell(holds("s0"), contract), "replay-safe") == ([REPLAYED], 1)


@pytest.mark.parametrize("tell", [duplicated, overtaken])
def test_a_replay_that_changes_nothing_is_a_case(tell: Callable[..., Story]) -> None:
    """What came twice, or too late, and is ignored holds."""
    assert verdict(tell({}), "replay-safe") == ([], 1)


@pytest.mark.parametrize("tell", [duplicated, overtaken])
def test_without_a_sequence_a_replay_is_a_request(tell: Callable[..., Story]) -> None:
    """On a wire whose requests carry none, and that does not claim it, a replay counts and is no case."""
    assert verdict(tell(holds("s0"), Contract()), "replay-safe") == ([], 0)


@pytest.mark.parametrize("tell", [duplicated, overtaken])
def test_without_a_sequence_a_replay_has_to_be_registered(tell: Callable[..., Story]) -> None:
    """On a wire whose requests carry none a replay that is ignored is one that was lost."""
    lost = "conservation: at t=2 the timer s0 of worker 0 was acquired, and is not armed"

    assert headlines(tell({}, Contract())) == [lost]


def test_a_duplicate_of_what_is_armed_changes_nothing() -> None:
    """A duplicate that leaves its timer where it was holds; one that moves it does not."""
    kept = armed("s0", contract=SEQUENCED).at(2).came(0).registered(0, after=holds("s0"))
    moved = armed("s0", contract=SEQUENCED).at(2).came(0).registered(0, after=holds("s0", due=201))

    assert (headlines(kept), headlines(moved)) == ([], [REPLAYED])


def test_a_duplicate_that_comes_with_its_original_is_no_case() -> None:
    """Where a request and its duplicate are registered at once the timer is the request's."""
    story = Story(SEQUENCED).acquire(200).came(0).registered(0, 0, after=holds("s0"))

    assert verdict(story, "replay-safe") == ([], 0)


def test_a_request_of_another_worker_is_no_replay() -> None:
    """Sequences are of a life: a lower number of another worker is none that was overtaken."""
    story = Story(SEQUENCED).begin(1)
    first = story.sent(0, "s0", 200)
    story.acquire(200, worker=1).registered(1, after=holds("s0", worker=1))
    story.came(first).registered(first, after=holds("s0") | holds("s0", worker=1))

    assert verdict(story, "replay-safe") == ([], 0)


def test_who_is_gone_may_leave_the_table_with_a_replay() -> None:
    """The timer of a worker that died leaves the table, whatever comes then; that of one that lives does not."""
    dead = armed("s0", contract=SEQUENCED).at(2).die().came(0).registered(0, after={})
    alive = armed("s0", contract=SEQUENCED).at(2).came(0).registered(0, after={})

    assert (headlines(dead), headlines(alive)) == ([], [REPLAYED])


def test_a_replay_that_changes_another_timer_breaks_isolation() -> None:
    """A duplicate of one scope that takes away another is no matter of the sequence."""
    story = armed("s0", "s1", contract=SEQUENCED).at(2).came(1).registered(1, after=holds("s1"))

    assert headlines(story) == [TOUCHED.replace("t=1", "t=2").replace("s1", "s0")]


# scope-isolation

TOUCHED = "scope-isolation: at t=1 the timer s1 of worker 0 was changed by a request for another one"


@pytest.mark.parametrize("after", [{}, holds("s1", due=201), holds("s1", due=math.nan)])
def test_a_release_touches_no_other_scope(after: Table) -> None:
    """A release that takes away the timer of another scope, or moves it, breaks it."""
    story = armed("s0", "s1").at(1).release().registered(2, after=after)

    assert verdict(story, "scope-isolation") == ([TOUCHED], 1)


@pytest.mark.parametrize("after", [holds("s0"), holds("s0") | holds("s1", due=201), holds("s0") | holds("s1", due=199)])
def test_an_acquire_touches_no_other_scope(after: Table) -> None:
    """An acquire that takes away the timer of another scope, or moves it by a tick, breaks it."""
    assert headlines(armed("s0", "s1").at(1).acquire(200).registered(2, after=after)) == [TOUCHED]


def test_a_request_that_leaves_the_others_alone_is_a_case_for_each() -> None:
    """A request is a case for each timer of the table that is not its own."""
    story = armed("s0", "s1").at(1).release().registered(2, after=holds("s1"))

    assert verdict(story, "scope-isolation") == ([], 1)


def test_a_timer_without_a_number_is_as_it_was() -> None:
    """A timer that is due at no number is the same as itself."""
    table, again = holds("s1", due=math.nan), holds("s1", due=float("nan"))
    story = Story().acquire(200, "s1").registered(0, after=table).at(1).acquire(200)

    assert headlines(story.registered(1, after=holds("s0") | again)) == []


def test_the_timer_of_another_worker_is_not_to_be_touched() -> None:
    """A request of one worker that changes the timer of another one breaks it."""
    story = Story().begin(1).acquire(200).acquire(200, worker=1)
    story.registered(0, 1, after=holds("s0") | holds("s0", worker=1)).at(1).release().registered(2, after={})

    assert headlines(story) == [TOUCHED.replace("s1 of worker 0", "s0 of worker 1")]


def test_a_timer_that_nobody_asked_for_is_one_touched() -> None:
    """A request that arms another timer as well breaks it."""
    assert headlines(armed("s0").at(1).acquire(200).registered(1, after=BOTH)) == [TOUCHED]


@pytest.mark.parametrize(("at", "is_touched"), [(0, False), (1, False), (2, True)])
def test_a_worker_that_died_may_leave_with_any_request(at: Instant, *, is_touched: bool) -> None:
    """A table may lose the timer of who died by then, not of who dies a tick later."""
    story = Story().begin(1).acquire(200).acquire(200, "s1", worker=1)
    story.registered(0, 1, after=holds("s0") | holds("s1", worker=1))
    release = story.at(1).sent(0, "s0", None)
    if at < 2:
        story.at(at).die(worker=1)
    story.at(1).came(release).registered(release, after={})
    if at == 2:
        story.at(2).die(worker=1)

    assert headlines(story) == ([TOUCHED.replace("worker 0", "worker 1")] if is_touched else [])


def test_the_dead_are_not_moved_either() -> None:
    """A request that moves the timer of a worker that died, and leaves it in the table, breaks it."""
    story = (
        Story()
        .begin(1)
        .acquire(200)
        .acquire(200, "s1", worker=1)
        .registered(0, 1, after=holds("s0") | holds("s1", worker=1))
    )
    story.at(1).die(worker=1).release().registered(2, after=holds("s1", worker=1, due=300))

    assert headlines(story) == [TOUCHED.replace("worker 0", "worker 1")]


def test_a_timer_that_was_asked_for_as_well_is_its_own() -> None:
    """Of a batch each request may change its own timer."""
    assert headlines(armed("s0", "s1").at(1).release().release("s1").registered(2, 3, after={})) == []


# poison-contained

POISONED = "poison-contained: at t=1 the timer s0 of worker 0 was changed, or not armed, beside a bad message"


@pytest.mark.parametrize("refused", [0, 1])
@pytest.mark.parametrize("after", [{}, holds("s0", due=201)])
def test_a_bad_message_changes_no_timer(after: Table, refused: int) -> None:
    """A bad message that takes a timer away, or moves it, breaks it, whether or not it was refused."""
    story = armed("s0").at(1).registered(None, refused=refused, after=after)

    assert verdict(story, "poison-contained") == ([POISONED], 1)


def test_a_bad_message_that_is_refused_is_a_case() -> None:
    """A bad message that leaves the table as it was holds."""
    assert verdict(armed("s0").at(1).registered(None, refused=1, after=holds("s0")), "poison-contained") == ([], 1)


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize(("refused", "is_lost"), [(0, True), (1, True), (2, False), (3, False)])
def test_what_came_with_a_bad_message_is_armed(order: str, refused: int, *, is_lost: bool) -> None:
    """An acquire beside a bad message is armed, or refused for a reason of its own."""
    story = Story().at(1).acquire(200)
    batch = (None, 0) if order == "first" else (0, None)

    assert headlines(story.registered(*batch, refused=refused, after={})) == ([POISONED] if is_lost else [])


def test_a_release_that_came_with_a_bad_message_is_registered() -> None:
    """A release beside a bad message disarms, and nothing that was refused excuses it."""
    kept = armed("s0").at(1).release().registered(None, 1, refused=2, after=holds("s0"))
    gone = armed("s0").at(1).release().registered(None, 1, refused=1, after={})

    assert (headlines(kept), headlines(gone)) == ([POISONED], [])


def test_a_timer_that_is_touched_beside_a_bad_message_is_poisoned() -> None:
    """What a batch with a bad message does to the timers of others is laid to that."""
    story = armed("s1", "s0").at(1).release("s1").registered(2, None, refused=1, after={})

    assert headlines(story) == [POISONED]


def test_two_bad_messages_are_two_refusals() -> None:
    """Of three that were refused two are the bad messages, and one an acquire."""
    story = Story().at(1).acquire(200)
    told = [headlines(story.registered(None, None, 0, refused=3, after={}))]
    story = Story().at(1).acquire(200)
    told.append(headlines(story.registered(None, None, 0, refused=2, after={})))

    assert told == [[], [POISONED]]


def test_without_a_bad_message_a_changed_timer_is_another_matter() -> None:
    """What is changed by a good request, by none, or not armed for it, is not poisoned."""
    stories = [
        armed("s0", "s1").at(1).release().registered(2, after={}),
        armed("s0").at(1).registered(after={}),
        Story().acquire(200).registered(0, after={}),
    ]

    assert [broken(story) for story in stories] == [["scope-isolation"], ["conservation"], ["conservation"]]
    assert [judge(story.account())[1]["poison-contained"] for story in stories] == [0, 0, 0]


def test_the_dead_may_leave_beside_a_bad_message() -> None:
    """The timer of a worker that died leaves the table beside a bad message as ever, and its acquire is not armed."""
    left = armed("s0").at(1).die().registered(None, refused=1, after={})
    late = Story().acquire(200).at(1).die().registered(None, 0, refused=1, after={})

    assert (headlines(left), headlines(late)) == ([], [])


# death-contained


def silenced(*, acquires: bool, contract: Contract | None = QUEUE) -> Story:
    """Worker 1 is killed with the lock at 1, and worker 0 sends at 2."""
    story = Story(contract).begin(1).acquire(200).at(1)
    held = story.sent(1, "s0", None)
    story.came(held).did(Meddled, held, "lock held", 1).die("sigkill", worker=1).at(2)
    story.sent(0, "s1", 300 if acquires else None)
    return story


@pytest.mark.parametrize("acquires", [True, False])
def test_who_is_killed_with_the_lock_silences_nobody(*, acquires: bool) -> None:
    """A request that another one sends after that and that never arrives breaks it; an acquire its own promise, too."""
    lines, cases = verdict(silenced(acquires=acquires), "death-contained")

    kind = "acquire" if acquires else "release"
    said = f"worker 0's {kind} of s1 at t=2"
    first = f"death-contained: {said} never arrived: worker 1 was killed with the lock at t=1"
    second = f"acquire-means-armed: {said} returned, and never arrived"
    assert (lines, cases) == ([first, second] if acquires else [first], 1)


def test_who_is_heard_after_a_death_with_the_lock_is_a_case() -> None:
    """What arrives all the same holds."""
    assert verdict(silenced(acquires=True).came(2), "death-contained") == ([], 1)


def test_what_was_sent_before_a_death_with_the_lock_is_no_case() -> None:
    """Of what was sent before, and of what the dead one sent, it says nothing."""
    story = Story(QUEUE).begin(1)
    story.sent(0, "s0", None)
    held = story.sent(1, "s0", None)

    assert verdict(story.did(Meddled, held, "lock held", 0).die("sigkill", worker=1), "death-contained") == ([], 0)


@pytest.mark.parametrize("contract", [Contract(), SEQUENCED, KNOWN])
def test_where_it_is_not_known_a_death_with_the_lock_is_no_case(contract: Contract) -> None:
    """What does not arrive is not laid to a server whose contract says nothing of such a lock."""
    assert verdict(silenced(acquires=True, contract=contract), "death-contained") == ([], 0)


# acquire-means-armed


@pytest.mark.parametrize(("fault", "lines"), [("lost", 1), ("refused", 0)])
def test_an_acquire_that_returned_arrives(fault: str, lines: int) -> None:
    """Where a buffer is known to lose them, each acquire is a case that did not raise; a release is none."""
    story = Story(QUEUE).acquire(200, "s1").meddled("lost", worker=0)
    lost = story.sent(0, "s0", 200)

    said = ["acquire-means-armed: worker 0's acquire of s0 at t=0 returned, and never arrived"]
    assert verdict(story.did(Meddled, lost, fault, 0), "acquire-means-armed") == (said * lines, 1 + lines)


@pytest.mark.parametrize("contract", [Contract(), KNOWN])
def test_where_a_buffer_promises_nothing_nothing_is_said(contract: Contract) -> None:
    """A request that never arrives breaks no promise of a wire that has made none."""
    story = Story(contract)
    lost = story.sent(0, "s0", 200)

    assert verdict(story.did(Meddled, lost, "lost", 0), "acquire-means-armed") == ([], 0)


def answered(said: str) -> str:
    """Returns the headline of an answer that was none."""
    return f"acquire-means-armed: worker 0 was answered at t=1, and its s0 was {said} armed"


@pytest.mark.parametrize(("is_armed", "lines"), [(True, []), (False, [answered("not")])])
def test_an_acquire_that_was_answered_is_armed(is_armed: bool, lines: list[str]) -> None:  # noqa: FBT001 - a parameter
    """A timer is in the table when its acquire is answered."""
    story = armed("s0", contract=SEQUENCED).at(1).answered(0, is_armed=is_armed)

    assert verdict(story, "acquire-means-armed") == (lines, 1)


@pytest.mark.parametrize(("is_armed", "lines"), [(False, []), (True, [answered("still")])])
def test_a_release_that_was_answered_has_disarmed(is_armed: bool, lines: list[str]) -> None:  # noqa: FBT001 - a parameter
    """A timer is not in the table any more when its release is answered."""
    story = armed("s0", contract=SEQUENCED).at(1).release().registered(1, after={}).answered(1, is_armed=is_armed)

    assert verdict(story, "acquire-means-armed") == (lines, 1)


REFUSED = "acquire-means-armed: at t=0 the timer s0 of worker 0 was refused, and armed"


@pytest.mark.parametrize(("after", "lines"), [({}, []), (holds("s0"), [REFUSED])])
def test_what_was_refused_has_left_no_timer(after: dict[tuple[int, int, str], Instant], lines: list[str]) -> None:
    """An answer with a reason says that nothing was armed: nothing is in the table that was not there before."""
    story = Story(SEQUENCED).acquire(200).registered(0, refused=1, after=after).answered(0, "no", is_armed=bool(after))

    assert verdict(story, "acquire-means-armed") == (lines, 1)


def test_a_timer_that_was_there_survives_a_refusal() -> None:
    """A refused re-arm leaves the timer that there was."""
    story = armed("s0", contract=SEQUENCED).at(1).acquire(300).registered(1, refused=1, after=holds("s0"))

    assert verdict(story.answered(1, "no", is_armed=True), "acquire-means-armed") == ([], 1)


def test_where_nothing_is_answered_nothing_is_said() -> None:
    """On a wire whose requests count as they arrive an answer means nothing."""
    assert verdict(armed("s0").answered(0, is_armed=False), "acquire-means-armed") == ([], 0)


def test_an_answer_to_a_duplicate_says_nothing_about_its_timer() -> None:
    """A duplicate is answered though its timer may have been released since."""
    story = armed("s0", contract=SEQUENCED).answered(0, is_armed=True)
    story.at(1).release().registered(1, after={}).answered(1, is_armed=False)

    assert verdict(story.at(2).came(0).registered(0, after={}).answered(0, is_armed=False), "acquire-means-armed") == (
        [],
        2,
    )


def test_only_the_first_answer_to_a_request_counts() -> None:
    """A second answer to one request says nothing more."""
    story = armed("s0", contract=SEQUENCED).answered(0, is_armed=True).at(1).answered(0, is_armed=False)

    assert verdict(story, "acquire-means-armed") == ([], 1)


def test_the_answer_to_an_overtaken_request_says_nothing() -> None:
    """A request that a later one of its worker overtook is answered, and not armed; that of another is judged."""
    story = overtaken({}).answered(1, is_armed=False).answered(0, is_armed=False)
    other = (
        Story(SEQUENCED)
        .begin(1)
        .at(1)
        .acquire(200)
        .acquire(200, worker=1)
        .registered(1, 0, after=holds("s0", worker=1), refused=1)
    )
    other.answered(1, is_armed=True).answered(0, is_armed=False)

    assert (headlines(story), headlines(other)) == ([], [answered("not")])


@pytest.mark.parametrize(("at", "lines"), [(0, []), (1, []), (2, [answered("not")])])
def test_who_is_dead_when_it_is_answered_is_not_guarded(at: Instant, lines: list[str]) -> None:
    """A timer of who had died by the answer need not be armed; that of who died a tick later had to be."""
    story = Story(SEQUENCED).acquire(200)
    if at < 2:
        story.at(at).die()
    story.at(1).registered(0, refused=1, after={}).answered(0, is_armed=False)
    if at == 2:
        story.at(2).die()

    assert headlines(story) == lines


# conservation: between two registrations


def at_1(what: str, scope: str = "s0") -> str:
    """Returns the headline about a timer at 1."""
    return f"conservation: at t=1 the timer {scope} of worker 0 {what}"


LEFT = at_1("had left the table, and its worker was not gone")


def left(*events: Callable[[Story], object], contract: Contract | None = None, until: Instant = 1) -> Story:
    """A timer is in the table at 0 and not any more at 1, when another is acquired; some events come in between."""
    story = armed("s0", contract=contract).at(until)
    for event in events:
        event(story)
    return story.at(1).acquire(200, "s1").registered(1, before={}, after=holds("s1"))


def test_a_timer_does_not_leave_by_itself() -> None:
    """A timer that is gone from the table while its worker lives breaks it."""
    assert verdict(left(), "conservation")[0] == [LEFT]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("how", ["exit", "sigkill", "reaped"])
def test_the_timer_of_who_is_gone_leaves(how: str, at: Instant) -> None:
    """The timer of a worker that died by then, however, may have left."""
    story = armed("s0").begin(1).at(at).die(how).at(1).acquire(200, "s1", worker=1)

    assert headlines(story.registered(1, before={}, after=holds("s1", worker=1))) == []


def test_the_timer_of_who_dies_later_does_not_leave() -> None:
    """A timer may not leave a tick before its worker dies, nor because another one did."""
    other = armed("s0").begin(1).at(1).die(worker=1).acquire(200, "s1")

    assert headlines(left().at(2).die()) == headlines(other.registered(1, before={}, after=holds("s1"))) == [LEFT]


def test_the_next_bearer_of_a_pid_inherits_no_timer_where_only_the_pid_is_known() -> None:
    """A timer of a pid may leave when a bearer of it has died, though another has it now."""
    story = armed("s0", contract=Contract(identity="pid")).at(1).reuse().acquire(200, "s1", worker=1)

    assert headlines(story.registered(1, before={}, after=holds("s1", worker=1))) == []


@pytest.mark.parametrize(
    ("contract", "lines"), [(Contract(restart="forgets"), []), (Contract(restart="guards-again"), [LEFT])]
)
def test_a_stop_loses_timers_where_the_contract_says_so(contract: Contract, lines: list[str]) -> None:
    """After a stop and a start the table is empty where the contract forgets, and as it was where it guards again."""
    assert headlines(left(Story.stop, Story.start, contract=contract)) == lines


def test_who_forgets_does_so_at_a_start_and_not_before() -> None:
    """A contract that forgets is no leave to lose a timer without a stop, or long after the start."""
    forgets = Contract(restart="forgets")
    before = Story(forgets).stop().start().acquire(200).registered(0, after=holds("s0"))
    before.at(1).acquire(200, "s1").registered(1, before={}, after=holds("s1"))

    assert headlines(left(contract=forgets)) == headlines(before) == [LEFT]


@pytest.mark.parametrize("contract", [Contract(), Contract(restart="forgets")])
def test_another_server_knows_nothing(contract: Contract) -> None:
    """After a crash the table is empty, whatever the contract."""
    assert headlines(left(Story.crash, Story.start, contract=contract)) == []


def test_a_pause_loses_no_timer() -> None:
    """A server that was paused has forgotten nothing."""
    assert headlines(left(lambda story: story.pause(1), until=0)) == [LEFT]


def test_a_timer_does_not_come_by_itself() -> None:
    """A timer that is in the table, and was not when the last registration was over, breaks it."""
    story = armed("s0").at(1).acquire(200).registered(1, before=BOTH, after=BOTH)

    assert headlines(story) == [at_1("was in the table, and nobody had acquired it", "s1")]


def test_another_server_may_have_kept_what_there_was() -> None:
    """A server that was started after a crash may know the timers of before, and none besides."""
    kept = armed("s0").at(1).crash().start().acquire(200, "s1").registered(1, after=BOTH)
    made_up = armed("s0").at(1).crash().start().acquire(200).registered(1, before=BOTH, after=BOTH)

    assert (headlines(kept), headlines(made_up)) == ([], [at_1("was in the table, and nobody had acquired it", "s1")])


# conservation: in a registration


@pytest.mark.parametrize("after", [{}, BOTH, holds("s0", due=201)])
def test_nothing_changes_without_a_request(after: Table) -> None:
    """A registration of nothing that changes the table breaks it."""
    scope = "s1" if after == BOTH else "s0"

    assert headlines(armed("s0").at(1).registered(after=after)) == [at_1("was changed without a request", scope)]


def test_the_dead_may_leave_without_a_request() -> None:
    """A registration of nothing that clears the timers of a worker that died holds."""
    assert headlines(armed("s0").at(1).die().registered(after={})) == []


def test_what_was_released_is_not_armed() -> None:
    """A release that leaves its timer in the table breaks it."""
    story = armed("s0").at(1).release().registered(1, after=holds("s0"))

    assert headlines(story) == [at_1("was released, and is armed still")]


@pytest.mark.parametrize(("refused", "lines"), [(0, [at_1("was acquired, and is not armed")]), (1, [])])
def test_what_was_acquired_is_armed_or_refused(refused: int, lines: list[str]) -> None:
    """An acquire that is not in the table breaks it unless it was refused."""
    assert headlines(Story().at(1).acquire(200).registered(0, refused=refused, after={})) == lines


@pytest.mark.parametrize(
    ("refused", "lines"),
    [
        (0, [at_1("was acquired, and is not armed")]),
        (1, [at_1("was acquired, and is not armed", "s1")]),
        (2, []),
    ],
)
def test_each_refusal_excuses_one(refused: int, lines: list[str]) -> None:
    """Of two acquires that are not in the table as many were refused as the server says."""
    story = Story().at(1).acquire(200).acquire(200, "s1").registered(0, 1, refused=refused, after={})

    assert headlines(story) == lines


@pytest.mark.parametrize(
    ("requests", "after", "lines"),
    [
        ([None, 200], holds("s0"), []),
        ([None, 200], {}, [at_1("was acquired, and is not armed")]),
        ([200, None], {}, []),
        ([200, None], holds("s0"), [at_1("was released, and is armed still")]),
    ],
)
def test_of_a_batch_the_last_request_of_a_timer_counts(
    requests: list[Instant | None], after: Table, lines: list[str]
) -> None:
    """What is registered at once leaves each timer as its last request had it."""
    story = Story().at(1)
    for request in requests:
        story.came(story.sent(0, "s0", request))

    assert headlines(story.registered(0, 1, after=after)) == lines


def test_who_died_is_not_armed() -> None:
    """The acquire of a worker that died by then is not in the table."""
    assert headlines(Story().at(1).acquire(200).die().registered(0, after={})) == []


def test_the_cases_of_conservation() -> None:
    """What arrived, what is registered, what is not asked for, and what leaves with who is gone are cases."""
    arrived_and_registered = armed("s0").at(1).acquire(200, "s1").registered(1, after=BOTH)
    not_asked_for = armed("s0").at(1).registered(after=holds("s0"))
    gone = armed("s0").at(1).die().registered(before={}, after={})

    told = [verdict(story, "conservation") for story in (arrived_and_registered, not_asked_for, gone)]
    assert told == [([], 2 + 2), ([], 2 + 1), ([], 2 + 1)]


# conservation: what arrived

MISSING = "conservation: a request of worker 0 for s1 arrived at t={}, and was never registered"


@pytest.mark.parametrize(("at", "lines"), [(50, [MISSING.format(50)]), (99, [MISSING.format(99)]), (100, [])])
def test_what_arrived_is_registered_before_the_end(at: Instant, lines: list[str]) -> None:
    """A request that arrived a tick before the end, and was never registered, breaks it; at the end it may wait."""
    assert headlines(armed("s0").at(at).acquire(200, "s1")) == lines


def test_a_server_without_a_table_says_nothing_of_what_it_took() -> None:
    """Where no registration was seen nothing is known."""
    assert verdict(Story().acquire(200), "conservation") == ([], 0)


@pytest.mark.parametrize(
    "away",
    [Story.stop, Story.crash, lambda story: story.pause(101), lambda story: story.did(ServerFailed, "no")],
    ids=["stopped", "killed", "paused", "failed"],
)
def test_who_is_away_at_the_end_takes_nothing(away: Callable[[Story], Story]) -> None:
    """A server that is stopped, paused, dead or failed at the end need not have taken what arrived."""
    story = armed("s0").start().at(50).acquire(200, "s1")

    assert "conservation" not in broken(away(story))


@pytest.mark.parametrize(
    "away", [lambda story: story.stop().at(60).start(), lambda story: story.pause(60)], ids=["stopped", "paused"]
)
def test_who_is_back_at_the_end_takes_what_arrived(away: Callable[[Story], Story]) -> None:
    """A server that was away, and is back before the end, has to have taken what arrived meanwhile."""
    story = away(armed("s0").at(50)).at(55).acquire(200, "s1")

    assert headlines(story) == [MISSING.format(55)]


def test_what_arrived_before_a_crash_may_be_lost() -> None:
    """What arrived before the last crash may have been lost in it; what arrived after it, in its tick too, may not."""
    before = armed("s0").at(50).acquire(200, "s1").crash().start()
    after = armed("s0").at(50).crash().start().acquire(200, "s1")

    assert (headlines(before), headlines(after)) == ([], [MISSING.format(50)])


def test_what_arrived_between_a_crash_and_the_start_is_not_lost() -> None:
    """What waited for the next server has to be registered by it."""
    assert headlines(armed("s0").at(50).crash().acquire(200, "s1").start()) == [MISSING.format(50)]


def test_what_never_arrived_is_not_missed() -> None:
    """A request that was lost on the wire is none that was not registered."""
    story = armed("s0").at(50)
    story.sent(0, "s1", 200)

    assert headlines(story) == []


def test_a_missed_reap_costs_no_timer() -> None:
    """A server that spares somebody, and keeps the timer, breaks nothing about its table."""
    story = Story().acquire(5).registered(0, after=holds("s0", due=5))

    assert broken(story) == ["reaped-in-time"]


# What they say


def test_the_rules_of_the_table() -> None:
    """Each shows a rule that says what must, or must not, have been, and no life of which a window would speak."""
    stories = [
        duplicated(holds("s0")),
        armed("s0", "s1").at(1).release().registered(2, after={}),
        armed("s0").at(1).registered(None, after={}),
        armed("s0", contract=SEQUENCED).at(1).answered(0, is_armed=False),
        armed("s0", contract=SEQUENCED).at(1).release().registered(1, after={}).answered(1, is_armed=True),
        armed("s0").at(1).registered(after={}),
        left(),
        armed("s0").at(1).acquire(200).registered(1, before=BOTH, after=BOTH),
        Story().at(1).acquire(200).registered(0, after={}),
        armed("s0").at(50).acquire(200, "s1"),
    ]
    told = [
        (v.invariant.harm, v.breach.at, v.breach.life, v.breach.rule) for s in stories for v in judge(s.account())[0]
    ]
    spares, leaves = Harm.SPARES_THE_HUNG, Harm.LEAVES_THINGS_BEHIND

    assert told == [
        (Harm.KILLS_THE_HEALTHY, 2, None, "MUST NOT count"),
        (spares, 1, None, "MUST NOT touch others"),
        (spares, 1, None, "MUST NOT cost others"),
        (spares, 1, None, "MUST NOT answer before the acquire"),
        (spares, 1, None, "MUST NOT answer before the release"),
        (leaves, 1, None, "MUST NOT change by itself"),
        (leaves, 1, None, "MUST keep it"),
        (leaves, 1, None, "MUST NOT be armed"),
        (leaves, 1, None, "MUST register it"),
        (leaves, 100, None, "MUST register it"),
    ]
