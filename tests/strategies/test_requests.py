"""The Hypothesis strategy for requests."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import find, given, seed, settings
from hypothesis import strategies as st

from tests.quick import one_in
from timersim import TimerRequest
from timersim.api import refusal
from timersim.fakes import VirtualClock
from timersim.strategies import timer_requests
from timersim.strategies.requests import LAST_PID, NO_EXPIRATIONS, NO_SCOPE_IDS, NOW

QUICK = settings(deadline=None, database=None, max_examples=2000)

Predicate = Callable[[TimerRequest], bool]


def smallest(fails: Predicate, seed: int = 0, *, valid: bool = True) -> str:
    """Returns what Hypothesis shrinks a failing test case to, as text: 0.0 equals -0.0, but is another request."""
    return repr(find(timer_requests(valid=valid), fails, settings=QUICK, random=Random(seed)))


def drawn(number: int, examples: int = 100, **arguments: Any) -> list[TimerRequest]:
    """Returns the requests that one run of a property draws.

    What Hypothesis draws with a seed depends on the constants in the modules that were imported before.
    """
    requests: list[TimerRequest] = []

    @seed(number)
    @settings(deadline=None, database=None, max_examples=examples)
    @given(timer_requests(**arguments))
    def collect(request: TimerRequest) -> None:
        requests.append(request)

    collect()
    return requests


@pytest.mark.parametrize("name", ["worker_ids", "scope_ids", "expirations"])
@pytest.mark.parametrize("value", [[1, 2], 1, "s0", int, st.integers])
def test_what_is_no_strategy_is_refused_by_name(name: str, value: object) -> None:
    """An argument that is no strategy is refused at once, by its name."""
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name) as refused:
        timer_requests(**arguments)

    assert str(refused.value) == f"{name} is a strategy: {name}={value!r}"


@pytest.mark.parametrize("value", [1, "no", None])
def test_a_validity_that_is_neither_true_nor_false_is_refused(value: Any) -> None:
    """What is neither True nor False is refused at once."""
    with pytest.raises(ValueError, match="valid") as refused:
        timer_requests(valid=value)

    assert str(refused.value) == f"valid is True or False: valid={value!r}"


@settings(deadline=None, database=None, max_examples=500)
@given(timer_requests())
def test_a_request_can_be_registered(request_: TimerRequest) -> None:
    """By default each is a request that no server of ours refuses, and whose scope any wire can encode."""
    assert type(request_) is TimerRequest
    assert refusal(request_) is None
    assert request_.scope_id.encode().decode() == request_.scope_id


@settings(deadline=None, database=None, max_examples=500)
@given(timer_requests())
def test_a_request_names_nobody_who_could_be_killed(request_: TimerRequest) -> None:
    """No worker is a process of this machine, but init; each fits the kernel's pid_t."""
    assert request_.worker_id == 1 or LAST_PID < request_.worker_id < 2**31


@settings(deadline=None, database=None, max_examples=500)
@given(timer_requests(valid=False))
def test_a_request_that_is_not_valid_is_refused(request_: TimerRequest) -> None:
    """With `valid=False` each is a request, and refused."""
    assert type(request_) is TimerRequest
    assert refusal(request_) is not None


def faults(request: TimerRequest) -> list[str]:
    """Returns the fields for which a request is refused."""
    fields = {"worker_id": 1, "scope_id": "s0", "expiration_time": 0.0}
    given = {name: getattr(request, name) for name in fields}
    return [name for name in fields if refusal(TimerRequest(**{**fields, name: given[name]})) is not None]


@settings(deadline=None, database=None, max_examples=500)
@given(timer_requests(valid=False))
def test_one_field_of_a_request_that_is_not_valid_is_wrong(request_: TimerRequest) -> None:
    """With `valid=False` one of the three fields is wrong, and the other two are not."""
    assert len(faults(request_)) == 1


def test_each_field_goes_wrong_in_each_way() -> None:
    """With `valid=False` each of the fields goes wrong, and each value that we know to be wrong is drawn."""
    requests = drawn(0, 1_000, valid=False)

    assert {name for request in requests for name in faults(request)} == {"worker_id", "scope_id", "expiration_time"}
    assert {repr(request.worker_id) for request in requests} >= {"[]", "{}", "bytearray(b'')"}
    assert {repr(request.scope_id) for request in requests} >= set(map(repr, NO_SCOPE_IDS))
    assert {repr(request.expiration_time) for request in requests} >= set(map(repr, NO_EXPIRATIONS))


def test_a_wrong_worker_id_is_new_in_each_request() -> None:
    """A test that changes a worker_id which can be changed changes no other example's."""
    strategy = timer_requests(worker_ids=st.just(1), valid=False)

    @settings(deadline=None, database=None)
    @given(strategy)
    def change(request: TimerRequest) -> None:
        if isinstance(request.worker_id, list):
            assert request.worker_id == []
            request.worker_id.append(7)

    change()


def test_the_edges_are_met() -> None:
    """Examples meet the expirations that tell servers apart, and odd scopes."""
    requests = drawn(0, 1_000)

    assert {repr(request.expiration_time) for request in requests} >= {"0.0", "-1.0", "-0.0", "-1e-09", "inf"}
    assert {request.scope_id for request in requests} >= {"s0", "s1", "", "\0", "a\nb"}
    assert {request.worker_id for request in requests} == {1, LAST_PID + 1, LAST_PID + 2, 2**31 - 1}


def test_acquires_and_releases_are_both_common() -> None:
    """Of a thousand requests no fewer than one in ten releases, no fewer than half acquire."""
    requests = drawn(0, 1_000)
    releases = sum(request.expiration_time < 0 for request in requests)

    assert len(requests) == 1_000
    assert 100 <= releases <= 500


@settings(deadline=None, database=None, max_examples=30)
@given(st.data(), st.integers(0, 1000))
def test_requests_concern_each_other(data: st.DataObject, number: int) -> None:
    """A key is met again: what one request arms, another one re-arms or releases."""
    requests = data.draw(st.lists(timer_requests(), min_size=40, max_size=40))

    assert any((a.worker_id, a.scope_id) == (b.worker_id, b.scope_id) for a in requests[:20] for b in requests[20:])


EDGES: dict[str, tuple[Predicate, str]] = {
    "anything": (lambda r: True, "TimerRequest(1, 's0', 0.0)"),
    "an acquire at 0 from below": (lambda r: repr(r.expiration_time) == "-0.0", "TimerRequest(1, 's0', -0.0)"),
    "a release": (lambda r: r.expiration_time < 0, "TimerRequest(1, 's0', -1.0)"),
    "the smallest release": (lambda r: r.expiration_time == -5e-324, "TimerRequest(1, 's0', -5e-324)"),
    "never": (lambda r: r.expiration_time == math.inf, "TimerRequest(1, 's0', inf)"),
    "a release at -inf": (lambda r: r.expiration_time == -math.inf, "TimerRequest(1, 's0', -inf)"),
    "a huge acquire": (
        lambda r: 1e300 < r.expiration_time < math.inf,
        "TimerRequest(1, 's0', 1.7976931348623157e+308)",
    ),
    "a whole number": (lambda r: type(r.expiration_time) is int, "TimerRequest(1, 's0', 0)"),
    "a whole number that no float is": (
        lambda r: type(r.expiration_time) is int and r.expiration_time != float(r.expiration_time),
        "TimerRequest(1, 's0', 9007199254740993)",
    ),
    "a minute from now": (lambda r: NOW + 60 <= r.expiration_time <= NOW + 120, "TimerRequest(1, 's0', 1000060.0)"),
    "no scope": (lambda r: r.scope_id == "", "TimerRequest(1, '', 0.0)"),
    "another scope": (lambda r: r.scope_id != "s0", "TimerRequest(1, 's1', 0.0)"),
    "a scope in another script": (lambda r: not r.scope_id.isascii(), "TimerRequest(1, 'é', 0.0)"),
    "a long scope": (lambda r: len(r.scope_id) >= 4096, f"TimerRequest(1, '{'s' * 4096}', 0.0)"),
    "another worker": (lambda r: r.worker_id != 1, "TimerRequest(4194305, 's0', 0.0)"),
}


@pytest.mark.parametrize("seed", one_in(4, [0, 1, 2, 5]))
@pytest.mark.parametrize("name", EDGES)
def test_an_edge_is_found_and_shrinks_to_its_one_form(name: str, seed: int) -> None:
    """What fails at an edge is found, and shrinks to worker 1, scope s0 and 0.0 as far as it can."""
    fails, expected = EDGES[name]

    assert smallest(fails, seed) == expected


@pytest.mark.parametrize("seed", one_in(3, [0, 1, 2]))
@pytest.mark.parametrize(
    ("low", "high"), [(-1e-6, 0), (0, 1e-6), (NOW - 1e-6, NOW), (NOW, NOW + 60), (1e300, math.inf)]
)
def test_an_expiration_between_two_instants_is_found(low: float, high: float, seed: int) -> None:
    """What fails strictly between two instants is found, and the rest of the request is as simple as it can be."""
    shrunk = smallest(lambda r: low < r.expiration_time < high, seed)

    assert shrunk.startswith("TimerRequest(1, 's0', ")


WRONG: dict[str, tuple[Predicate, str]] = {
    "anything": (lambda r: True, "TimerRequest(1, 's0', nan)"),
    "a scope": (lambda r: not isinstance(r.scope_id, str), "TimerRequest(1, None, 0.0)"),
    "a worker": (lambda r: not isinstance(r.worker_id, int), "TimerRequest([], 's0', 0.0)"),
}


@pytest.mark.parametrize("seed", one_in(3, [0, 1, 2]))
@pytest.mark.parametrize("name", WRONG)
def test_a_request_that_is_not_valid_shrinks_to_its_one_form(name: str, seed: int) -> None:
    """What is not valid shrinks to one wrong field, and the simplest of the others."""
    fails, expected = WRONG[name]

    assert smallest(fails, seed, valid=False) == expected


@pytest.mark.parametrize("number", range(2))
def test_strategies_of_the_users_own_take_the_place_of_ours(number: int) -> None:
    """Each of the three fields comes from the strategy that was given for it."""
    requests = drawn(
        number,
        worker_ids=st.sampled_from(["rank3", "rank4"]),
        scope_ids=st.just("step"),
        expirations=st.integers(5, 7),
    )

    assert {request.worker_id for request in requests} == {"rank3", "rank4"}
    assert {request.scope_id for request in requests} == {"step"}
    assert {request.expiration_time for request in requests} == {5, 6, 7}


def test_strategies_of_the_users_own_draw_what_is_not_wrong() -> None:
    """With `valid=False` the two fields that are not wrong come from the strategies that were given."""
    requests = drawn(0, worker_ids=st.just("rank3"), scope_ids=st.just("step"), expirations=st.just(5.0), valid=False)
    simplest = {"worker_id": "rank3", "scope_id": "step", "expiration_time": 5.0}

    for request in requests:
        (wrong,) = faults(request)
        assert {name: getattr(request, name) for name in simplest if name != wrong} == {
            name: value for name, value in simplest.items() if name != wrong
        }


def test_near_now_is_near_the_start_of_a_virtual_clock() -> None:
    """The instant near which expirations crowd is the one at which a `VirtualClock` starts."""
    assert VirtualClock().time() == NOW
