"""The oracle under faults: whose timer it is, in which order requests count, and what a lost server still owes."""

import math

import pytest

from tests.lab.story import LIFE, NEXT, Story
from tests.lab.test_oracle import may, owed
from timersim.lab.contract import Contract
from timersim.lab.oracle import Account, Guard
from timersim.lab.record import Attempted, Instant

BY_PID = Contract(identity="pid")
BY_SEQUENCE = Contract(order="sequence")


def guards(account: Account) -> dict[tuple[int, int], list[Guard]]:
    """Returns what is held, by life, where anything is."""
    return {life: held for life, held in account.guards.items() if held}


# The order of requests


def duplicated(contract: Contract) -> Account:
    """An acquire arrives again after its release."""
    story = Story(contract)
    acquire = story.sent(0, "s0", 5)
    story.arrived(acquire)
    story.at(1).release().at(2).arrived(acquire)
    return story.account()


def overtaken(contract: Contract) -> Account:
    """A release overtakes its acquire."""
    story = Story(contract)
    acquire, release = story.sent(0, "s0", 5), story.sent(0, "s0", None)
    story.at(1).arrived(release)
    story.at(2).arrived(acquire)
    return story.account()


def test_without_a_sequence_a_duplicate_arms_again() -> None:
    """Where requests carry no sequence the second arrival of an acquire counts like a new one."""
    account = duplicated(Contract())

    assert guards(account) == {LIFE: [Guard(LIFE, "s0", 0, 5, 1, "released"), Guard(LIFE, "s0", 2, 5)]}
    assert owed(account) == [("s0", 5)]


def test_with_a_sequence_a_duplicate_is_ignored() -> None:
    """Where requests carry a sequence the second arrival of an acquire changes nothing."""
    account = duplicated(BY_SEQUENCE)

    assert guards(account) == {LIFE: [Guard(LIFE, "s0", 0, 5, 1, "released")]}
    assert owed(account) == []


def test_without_a_sequence_an_overtaken_acquire_holds() -> None:
    """Where requests carry no sequence an acquire that comes after its release holds."""
    account = overtaken(Contract())

    assert (guards(account), owed(account)) == ({LIFE: [Guard(LIFE, "s0", 2, 5)]}, [("s0", 5)])


def test_with_a_sequence_an_overtaken_acquire_is_ignored() -> None:
    """Where requests carry a sequence an acquire that comes after its release holds nothing."""
    account = overtaken(BY_SEQUENCE)

    assert (guards(account), may(account, 5, 6), owed(account)) == ({}, [False, False], [])


@pytest.mark.parametrize(("contract", "superseded"), [(Contract(), 3), (BY_SEQUENCE, math.inf)])
def test_a_duplicated_release_disarms_a_newer_timer_where_nothing_tells_them_apart(
    contract: Contract, superseded: Instant
) -> None:
    """The duplicate of a release takes away a timer that was acquired after it, but on a wire with sequences."""
    story = Story(contract).acquire(5)
    release = story.at(1).sent(0, "s0", None)
    story.arrived(release)
    story.at(2).acquire(9).at(3).arrived(release)

    assert [guard.superseded for guard in story.account().guards[LIFE]] == [1, superseded]


def test_with_a_sequence_an_overtaken_request_of_another_scope_is_ignored_as_well() -> None:
    """A sequence is the worker's, not the scope's: what comes out of it is ignored whatever it is about."""
    story = Story(BY_SEQUENCE)
    first = story.sent(0, "s0", 5)
    story.acquire(9, "s1").at(1).arrived(first)

    assert guards(story.account()) == {LIFE: [Guard(LIFE, "s1", 0, 9)]}


def test_each_life_has_a_sequence_of_its_own() -> None:
    """What one life sent earlier is not overtaken by what another sent later."""
    story = Story(BY_SEQUENCE)
    first = story.sent(0, "s0", 5)
    story.started(1)
    story.acquire(7, worker=1).at(1).arrived(first)

    assert guards(story.account()) == {LIFE: [Guard(LIFE, "s0", 1, 5)], NEXT: [Guard(NEXT, "s0", 0, 7)]}


# Whose timer it is


@pytest.mark.parametrize(("contract", "expected"), [(BY_PID, [False, True, True]), (Contract(), [False] * 3)])
def test_who_bears_a_pid_may_be_reaped_for_who_bore_it_where_only_the_pid_is_known(
    contract: Contract, expected: list[bool]
) -> None:
    """A contract that knows only pids lets the next bearer be reaped for the timer of the first; no other does."""
    account = Story(contract).acquire(5).at(2).reuse().account()

    assert [account.may_reap(NEXT, at) for at in (4, 5, 6)] == expected


def test_a_timer_of_the_dead_is_not_owed_of_who_bears_its_pid() -> None:
    """What may be reaped for somebody else's timer need not be."""
    assert owed(Story(BY_PID).acquire(5).at(2).reuse().account()) == []


def test_the_third_bearer_of_a_pid_bears_that_of_the_first() -> None:
    """A pid is known by its first bearer, however often it was passed on; a life of a new pid by itself."""
    story = Story(BY_PID).acquire(5).at(1).reuse(1).at(2).reuse(2, of=NEXT)
    story.started(3)
    account = story.account()

    assert [account.pid(life) for life in account.lives] == [LIFE, LIFE, LIFE, (3, 0)]
    assert [account.may_reap(life, 5) for life in account.lives] == [True, True, True, False]


@pytest.mark.parametrize(("at", "expected"), [(4, False), (5, True), (8, True), (9, False)])
def test_a_predecessor_is_due_from_its_expiration_until_it_is_superseded(at: Instant, *, expected: bool) -> None:
    """What a former bearer of the pid held was due from its expiration on, up to the tick of what superseded it."""
    account = Story(BY_PID).acquire(5).at(2).reuse().at(8).release(worker=1).account()

    assert account.due_predecessor(NEXT, at) == (LIFE if expected else None)


def test_nobody_is_its_own_predecessor_or_that_of_a_stranger() -> None:
    """Who holds the timer, and who bears another pid, has no predecessor that was due."""
    story = Story().acquire(5).at(2).reuse()
    story.started(2)
    account = story.account()

    assert [account.due_predecessor(life, 6) for life in account.lives] == [None, LIFE, None]
    assert Story().acquire(5).account().due_predecessor(LIFE, 6) is None


@pytest.mark.parametrize(("contract", "superseded"), [(Contract(), 4), (BY_SEQUENCE, math.inf)])
def test_who_bears_the_pid_speaks_for_its_timers(contract: Contract, superseded: Instant) -> None:
    """A release releases what a former bearer of the pid held, but where a connection tells the two apart."""
    account = Story(contract).acquire(5).at(2).reuse().at(4).release(worker=1).account()

    assert [guard.superseded for guard in account.guards[LIFE]] == [superseded]


@pytest.mark.parametrize(
    ("contract", "arrived", "bearer"),
    [(Contract(), 2, LIFE), (Contract(), 3, NEXT), (Contract(), 4, NEXT), (BY_SEQUENCE, 4, LIFE)],
)
def test_a_late_request_speaks_for_who_bears_the_pid_now(
    contract: Contract, arrived: Instant, bearer: tuple[int, int]
) -> None:
    """A request that arrives after its pid has passed on speaks for the next, but where a connection says who sent it.

    While its sender is dead, and nobody has the pid, it speaks for the sender.
    """
    story = Story(contract)
    request = story.sent(0, "s0", 9)
    story.at(1).died(0, "sigkill")
    if arrived < 3:
        story.at(arrived).arrived(request)
        story.at(3).reuse()
    else:
        story.at(3).reuse().at(arrived).arrived(request)

    assert guards(story.account()) == {bearer: [Guard(bearer, "s0", arrived, 9)]}


@pytest.mark.parametrize(("reused", "bearers"), [(1, [LIFE, NEXT]), (2, [LIFE, NEXT]), (4, [LIFE, NEXT]), (5, [LIFE])])
def test_who_bears_the_pid_until_the_registration_may_be_meant(reused: Instant, bearers: list[tuple[int, int]]) -> None:
    """A request that waits in a pause until 4 may speak for whoever bears its pid meanwhile; none of them surely."""
    account = Story().at(1).pause(4).acquire(9).at(reused).reuse().account()

    assert guards(account) == {life: [Guard(life, "s0", 1, 9)] for life in bearers}
    assert [guard.is_sure for life in bearers for guard in account.guards[life]] == [len(bearers) == 1] * len(bearers)


@pytest.mark.parametrize(("arrived", "expected"), [(3, []), (4, [("s0", 9)]), (5, [("s0", 9)])])
def test_an_unsure_bearer_is_owed_nothing(arrived: Instant, expected: list[tuple[str, Instant]]) -> None:
    """What arrived in a pause before its pid passed on may be for either bearer, and is owed of none.

    What arrived in the tick of that, but after it, or later is owed of the new one. Either may be reaped.
    """
    story = Story()
    request = story.sent(0, "s0", 9)
    story.at(1).died(0, "sigkill")
    story.at(2).pause(6)
    if arrived == 3:
        story.at(3).arrived(request)
        story.at(4).reuse()
    else:
        story.at(4).reuse().at(arrived).arrived(request)
    account = story.account()

    assert (owed(account), account.may_reap(NEXT, 9)) == (expected, True)


def test_a_request_of_who_shares_no_pid_is_sure() -> None:
    """A start with a pid of its own, and one that passes on another's, leave no doubt about a request."""
    story = Story()
    story.started(1)
    story.at(1).pause(4).acquire(9).at(2).reuse(2, of=NEXT).at(3)
    story.started(3)

    assert owed(story.account()) == [("s0", 9)]


# Servers that were caught as they were about to reap


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ("reaping", [False, True, True, True, True, True, False]),
        ("reaped", [False, True, True, True, False, False, False]),
        ("drained", [False, True, True, True, False, False, False]),
        ("", [False, True, True, True, False, False, False]),
    ],
)
def test_who_was_caught_as_it_was_about_to_reap_decided_before(within: str, expected: list[bool]) -> None:
    """A server that was paused as it was about to reap may do so at its resume, though a release arrived meanwhile."""
    account = Story().acquire(5).at(5).pause(9, within).at(7).release().at(20).attempt("failed").account()

    assert may(account, 4, 5, 6, 7, 8, 9, 10) == expected


@pytest.mark.parametrize(("released", "expected"), [(4, False), (5, True), (6, True)])
def test_what_was_released_before_the_server_was_caught_may_not_be_reaped(released: Instant, *, expected: bool) -> None:
    """A server that was caught at 5 saw what had arrived before; a release in that tick may have come after."""
    story = Story().acquire(3)
    if released == 4:
        story.at(4).release().at(5).pause(9, "reaping")
    else:
        story.at(5).pause(9, "reaping").at(released).release()

    assert story.at(20).attempt("failed").account().may_reap(LIFE, 9) is expected


def test_who_was_caught_as_it_was_about_to_reap_one_had_decided_on_no_other() -> None:
    """The pause excuses the reap that follows it, and no reap of another worker."""
    story = Story()
    story.started(1)
    story.acquire(5).at(5).pause(9, "reaping").at(7).release().at(9)
    story.add(Attempted, 1, 0, "worker 1", "reaped")

    assert may(story.account(), 6, 7, 8, 9) == [True, True, False, False]


def test_who_was_caught_before_the_expiration_decided_nothing() -> None:
    """A server that was caught before a timer was due cannot have decided to reap for it."""
    account = Story().acquire(5).at(4).pause(9, "reaping").at(7).release().at(20).attempt("failed").account()

    assert may(account, 6, 7, 8, 9) == [True, True, False, False]


@pytest.mark.parametrize(("next_pause", "last"), [(9, 12), (8, 12), (10, 9)])
def test_a_pause_at_the_resume_puts_off_the_reap_that_was_decided(next_pause: Instant, last: Instant) -> None:
    """Where another pause covers the resume, a decided reap may come at its end; not where it begins later."""
    account = (
        Story()
        .acquire(5)
        .at(5)
        .pause(9, "reaping")
        .at(6)
        .release()
        .at(next_pause)
        .pause(12)
        .at(20)
        .attempt("failed")
        .account()
    )

    assert may(account, last, last + 1) == [True, False]


def test_a_crash_ends_the_pause() -> None:
    """A server that was killed within a pause is absent from then on as one that is dead, until the next start."""
    account = Story().at(2).pause(9).at(5).crash().at(6).start().account()

    assert (account.pauses, account.stops, account.crashes) == ([(2, 5)], [(5, 6)], [5])


def test_a_crash_before_or_after_a_pause_leaves_it_as_it_is() -> None:
    """A pause is cut by the first crash within it alone."""
    account = Story().at(1).crash().start().at(2).pause(5).at(6).crash().start().at(7).pause(9).account()

    assert (account.pauses, account.stops) == ([(2, 5), (7, 9)], [(1, 1), (6, 6)])


def test_who_was_killed_as_it_was_about_to_reap_reaps_no_more() -> None:
    """What a server had decided ends with it."""
    story = Story().acquire(5).at(5).pause(9, "reaping").at(6).release().at(7).crash().start()
    account = story.at(20).attempt("failed").account()

    assert may(account, 6, 7, 8) == [True, True, False]
    assert dict(account.caught) == {LIFE: [(5, 7)]}


# Crashes


@pytest.mark.parametrize(("crashed", "expected"), [(2, [("s0", 8)]), (3, []), (4, []), (7, []), (8, [("s0", 7)])])
def test_a_crash_forgets_what_had_arrived(crashed: Instant, expected: list[tuple[str, Instant]]) -> None:
    """A crash between the arrival at 3 and the latest instant at 7 forgives the reap; the start is at 8."""
    story = Story(Contract(restart="guards-again"))
    story.at(2)
    if crashed == 2:
        story.crash()
    story.at(3).acquire(7)
    if crashed > 2:
        story.at(crashed).crash()

    assert owed(story.at(8).start().account()) == expected


def test_a_stop_forgets_nothing_where_timers_are_guarded_again() -> None:
    """The same story with a stop in the place of the crash owes the reap at the start."""
    assert owed(Story().at(3).acquire(7).at(4).stop().at(8).start().account()) == [("s0", 8)]


def test_a_dead_server_that_is_not_started_again_owes_nothing() -> None:
    """What arrives after the last server died is never owed."""
    account = Story().at(3).crash().at(4).acquire(5).account()

    assert (owed(account), account.stops) == ([], [(3, math.inf)])


def test_nothing_is_promised_for_what_was_forgotten() -> None:
    """The latest instant for what a crash has forgotten is never; it may be reaped all the same."""
    account = Story().acquire(5).at(3).crash().start().account()
    (guard,) = account.guards[LIFE]

    assert (account.latest_reap(guard), account.may_reap(LIFE, 5)) == (math.inf, True)


# The wall clock on the way


@pytest.mark.parametrize(("stepped", "window"), [(1, (10, 15)), (2, (10, 15)), (4, (10, 15)), (5, (15, 15))])
def test_a_step_on_the_way_puts_the_permission_before_the_debt(stepped: Instant, window: tuple[int, int]) -> None:
    """What was on its way from 1 to 4 when the wall clock stepped may be reaped by one hand, and must by the other."""
    story = Story()
    request = story.at(1).sent(0, "s0", 15)
    if stepped <= 4:
        story.at(stepped).step(5).at(4).arrived(request)
    else:
        story.at(4).arrived(request)
        story.at(stepped).step(5)
    account = story.account()

    assert guards(account) == {LIFE: [Guard(LIFE, "s0", 4, window[0], latest=window[1])]}
    assert (may(account, window[0] - 1, window[0]), owed(account)) == ([False, True], [("s0", window[1])])


@pytest.mark.parametrize(("stepped", "due"), [(4, 10), (6, 10), (7, 15)])
def test_what_waits_in_a_pause_is_on_its_way(stepped: Instant, due: Instant) -> None:
    """What arrived at 1 in a pause until 6 may be due by a step up to the resume, and by none after it."""
    account = Story().at(1).pause(6).acquire(15).at(stepped).step(5).account()

    assert guards(account) == {LIFE: [Guard(LIFE, "s0", 1, due, latest=15)]}


def test_what_waits_for_a_server_that_is_never_started_is_on_its_way_to_the_end() -> None:
    """A step up to the end of the run can count for what nobody has registered."""
    account = Story().stop().at(1).acquire(60).at(50).step(5).account(end=50)

    assert guards(account) == {LIFE: [Guard(LIFE, "s0", 1, 55, latest=60)]}


# Retries


@pytest.mark.parametrize(
    ("begin", "until", "by"),
    [(4, 5, 8), (4, 6, 9), (5, 6, 9), (6, 7, 8), (7, 8, 8), (7, 9, 9), (8, 12, 12), (9, 12, 8)],
)
def test_a_retry_is_granted_its_time_from_when_the_server_is_back(begin: Instant, until: Instant, by: Instant) -> None:
    """After a failure at 5 a retry is owed 3 ticks later, from the end of a pause that covers it; and so at the end."""
    account = Story(Contract(retry_within=3)).at(begin).pause(until).account()

    assert account.latest_retry(5) == by


def test_a_retry_is_owed_as_exactly_as_instants_are_known() -> None:
    """Where an instant is known to 2 ticks, a retry is owed 2 ticks later."""
    assert Story(Contract(retry_within=3, transit=2)).account().latest_retry(5) == 10


@pytest.mark.parametrize(("since", "until", "expected"), [(4, 8, False), (5, 8, True), (6, 8, True)])
def test_a_timer_stands_from_when_it_is_due(since: Instant, until: Instant, *, expected: bool) -> None:
    """A life stands to be reaped from the expiration on, not a tick before."""
    assert Story().acquire(5).account().stands(LIFE, since, until) is expected


@pytest.mark.parametrize(("since", "expected"), [(5, False), (6, True), (7, True)])
def test_a_timer_stands_from_when_it_arrived(since: Instant, *, expected: bool) -> None:
    """A life stands to be reaped from the arrival on of what was due before."""
    assert Story().at(6).acquire(5).account().stands(LIFE, since, 9) is expected


@pytest.mark.parametrize(("at", "expected"), [(7, False), (8, False), (9, True)])
def test_a_timer_stands_until_something_ends_it(at: Instant, *, expected: bool) -> None:
    """A release, a death of any kind, a crash of the server: from 5 to 8 it stands where that comes a tick later."""
    released = Story().acquire(5).at(at).release().account()
    reaped = Story().acquire(5).at(at).attempt("reaped").account()
    crashed = Story().acquire(5).at(at).crash().account()

    assert [account.stands(LIFE, 5, 8) for account in (released, reaped, crashed)] == [expected] * 3


@pytest.mark.parametrize(("end", "expected"), [(7, False), (8, True), (9, True)])
def test_a_timer_stands_as_long_as_the_run_lasts(end: Instant, *, expected: bool) -> None:
    """Of what comes after the run nothing is known."""
    assert Story().acquire(5).account(end).stands(LIFE, 5, 8) is expected


def test_a_crash_before_the_arrival_takes_no_timer() -> None:
    """A crash takes only what had arrived; and who holds nothing does not stand."""
    account = Story().at(1).crash().start().at(2).acquire(5).account()

    assert (account.stands(LIFE, 5, 8), Story().account().stands(LIFE, 5, 8)) == (True, False)


def test_one_timer_that_stands_is_enough() -> None:
    """Where one scope was released and another was not, the worker stands."""
    assert Story().acquire(5).acquire(5, "s1").at(6).release().account().stands(LIFE, 5, 8)


# Pids that were armed again


def last_attempt(account: Account) -> Attempted:
    """Returns the last attempt of a story."""
    return account.record.of(Attempted)[-1]


@pytest.mark.parametrize(("contract", "expected"), [(BY_PID, True), (Contract(), False)])
def test_a_pid_is_armed_again_by_a_later_request(contract: Contract, *, expected: bool) -> None:
    """A timer that arrives after an attempt, in its tick, arms the pid again where only the pid is known."""
    account = Story(contract).acquire(5).at(5).attempt("reaped").acquire(9).account()

    assert account.armed_again(LIFE, last_attempt(account)) is expected


@pytest.mark.parametrize("request_", [5, None], ids=["acquire", "release"])
def test_a_pid_is_not_armed_again_by_an_earlier_request_or_a_release(request_: Instant | None) -> None:
    """What arrived before the attempt, and what arms nothing, does not arm a pid again."""
    story = Story(BY_PID).acquire(5).at(5)
    if request_ is not None:
        story.acquire(request_)
    story.attempt("reaped")
    if request_ is None:
        story.release()
    account = story.account()

    assert account.armed_again(LIFE, last_attempt(account)) is False


def test_a_pid_is_armed_again_by_who_bears_it_next() -> None:
    """A request of the next bearer arms the pid; one of somebody else does not."""
    story = Story(BY_PID).acquire(5).at(5).attempt("reaped").at(6).reuse()
    account = story.at(7).acquire(9, worker=1).account()
    other = Story(BY_PID).acquire(5).at(5).attempt("reaped")
    other.started(1)
    stranger = other.acquire(9, worker=1).account()

    assert account.armed_again(LIFE, last_attempt(account))
    assert not stranger.armed_again(LIFE, last_attempt(stranger))


@pytest.mark.parametrize(
    ("within", "attempted", "expected"),
    [("reaping", 8, True), ("reaping", 9, True), ("reaping", 10, False), ("reaped", 9, False), ("", 9, False)],
)
def test_what_arrived_while_the_server_was_caught_arms_after_its_reap(
    within: str, attempted: Instant, *, expected: bool
) -> None:
    """What arrived while a server was caught before a reap is registered after it, and arms the pid again."""
    story = Story(BY_PID).acquire(5).at(5).pause(9, within).at(7).acquire(8)
    account = story.at(attempted).attempt("reaped").account()

    assert account.armed_again(LIFE, last_attempt(account)) is expected


def test_what_arrived_before_the_server_was_caught_was_there() -> None:
    """What arrived in the tick in which a server was caught, but before, does not arm after its reap."""
    account = Story(BY_PID).at(5).acquire(5).pause(9, "reaping").at(9).attempt("reaped").account()

    assert account.armed_again(LIFE, last_attempt(account)) is False


def test_the_position_of_an_event_is_its_own() -> None:
    """Two events that are equal have each their own place in the record."""
    account = Story().acquire(5).at(5).attempt("failed").attempt("failed").account()

    assert [account.position(attempt) for attempt in account.record.of(Attempted)] == [3, 4]
