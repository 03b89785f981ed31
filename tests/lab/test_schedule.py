"""Schedules: values that are Python and JSON at once."""

import copy
import itertools
import json
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timersim.lab.operations import (
    CRASHES,
    OPERATIONS,
    Acquire,
    Crash,
    Exit,
    Operation,
    Pause,
    PauseServer,
    Release,
    Resume,
    ScheduleError,
    Start,
    StartServer,
    StopServer,
    to_object,
)
from timersim.lab.schedule import Schedule

KINDS = ", ".join(OPERATIONS)

ticks = st.integers(0, 10**9)
workers = st.integers(0, 99)
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(Acquire, workers, st.text(), after=ticks, gap=ticks),
    st.builds(Release, workers, st.text(), gap=ticks),
    st.builds(Crash, workers, st.sampled_from(CRASHES), gap=ticks),
    st.builds(PauseServer, st.integers(1, 10**9), gap=ticks),
    *(st.builds(kind, workers, gap=ticks) for kind in (Start, Exit, Pause, Resume)),
    *(st.builds(kind, gap=ticks) for kind in (StopServer, StartServer)),
)
schedules = st.lists(operations, max_size=6).map(Schedule)

ONE_OF_EACH = Schedule(
    [
        Start(2),
        Acquire(0, "load", after=5, gap=2),
        Release(0, "load", gap=1),
        Pause(1),
        Resume(1, gap=3),
        Crash(1, "sigkill"),
        Exit(0),
        PauseServer(6, gap=4),
        StopServer(),
        StartServer(gap=7),
    ]
)


def rebuilt(text: str) -> object:
    """Runs a repr as the Python that it is."""
    result: object = eval(text, {"Schedule": Schedule, **OPERATIONS})
    return result


@settings(deadline=None, database=None, max_examples=60)
@given(schedules)
def test_the_repr_is_python_that_rebuilds_the_schedule(schedule: Schedule) -> None:
    """The repr is Python that rebuilds the schedule, whatever its scopes are called."""
    assert rebuilt(repr(schedule)) == schedule


@pytest.mark.parametrize("scope", ["\U0001f600", 'a"b', "a\\nb", "a\nb", "a'b", "", "\x85\u2028", "ü"])
def test_the_repr_rebuilds_a_scope_of_any_characters(scope: str) -> None:
    """A scope of any characters, those beyond the basic plane included, comes back from the repr."""
    assert rebuilt(repr(Release(0, scope))) == Release(0, scope)


def test_the_repr_leaves_out_gaps_of_0_and_names_what_needs_a_name() -> None:
    """The repr leaves out a gap of 0 and names the expiration and the gap."""
    assert repr(ONE_OF_EACH) == (
        'Schedule([Start(2), Acquire(0, "load", after=5, gap=2), Release(0, "load", gap=1), Pause(1),'
        ' Resume(1, gap=3), Crash(1, "sigkill"), Exit(0), PauseServer(6, gap=4), StopServer(), StartServer(gap=7)])'
    )


@settings(deadline=None, database=None, max_examples=60)
@given(schedules)
def test_json_rebuilds_the_schedule(schedule: Schedule) -> None:
    """What to_json writes from_json reads back."""
    assert Schedule.from_json(schedule.to_json()) == schedule


def test_the_json_of_each_operation_is_an_object_of_its_fields() -> None:
    """In JSON an operation is an object of its name and its fields, the gap of 0 included."""
    assert json.loads(ONE_OF_EACH.to_json()) == [
        {"operation": "Start", "worker": 2, "gap": 0},
        {"operation": "Acquire", "worker": 0, "scope": "load", "after": 5, "gap": 2},
        {"operation": "Release", "worker": 0, "scope": "load", "gap": 1},
        {"operation": "Pause", "worker": 1, "gap": 0},
        {"operation": "Resume", "worker": 1, "gap": 3},
        {"operation": "Crash", "worker": 1, "how": "sigkill", "gap": 0},
        {"operation": "Exit", "worker": 0, "gap": 0},
        {"operation": "PauseServer", "ticks": 6, "gap": 4},
        {"operation": "StopServer", "gap": 0},
        {"operation": "StartServer", "gap": 7},
    ]


def test_a_field_that_json_leaves_out_has_its_default() -> None:
    """JSON written by hand may leave out a gap."""
    assert Schedule.from_json('[{"operation": "Exit", "worker": 3}]') == Schedule([Exit(3)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[", "not JSON: Expecting value: line 1 column 2 (char 1)"),
        ("null", "a schedule is a list of operations, not: None"),
        ("{}", "a schedule is a list of operations, not: {}"),
        (json.dumps("x" * 200), f"a schedule is a list of operations, not: '{'x' * 79}"),
        ("[7]", f"an operation is an object with one of {KINDS}, not: 7"),
        ("[{}]", f"an operation is an object with one of {KINDS}, not: {{}}"),
        ('[{"operation": "Fly"}]', f"an operation is an object with one of {KINDS}, not: {{'operation': 'Fly'}}"),
        ('[{"operation": null}]', f"an operation is an object with one of {KINDS}, not: {{'operation': None}}"),
        ('[{"operation": []}]', f"an operation is an object with one of {KINDS}, not: {{'operation': []}}"),
        ('[{"operation": {}}]', f"an operation is an object with one of {KINDS}, not: {{'operation': {{}}}}"),
        ('[{"operation": "Start"}]', "Start: Start.__init__() missing 1 required positional argument: 'worker'"),
        (
            '[{"operation": "Exit", "worker": 0, "how": "exit"}]',
            "Exit: Exit.__init__() got an unexpected keyword argument 'how'",
        ),
        (
            '[{"operation": "Exit", "worker": 0, "self": 1}]',
            "Exit: Exit.__init__() got multiple values for argument 'self'",
        ),
        ('[{"operation": "Exit", "worker": 1.0}]', "worker is a whole number of at least 0: Exit(1.0)"),
        ('[{"operation": "Exit", "worker": true}]', "worker is a whole number of at least 0: Exit(True)"),
        ('[{"operation": "Exit", "worker": NaN}]', "worker is a whole number of at least 0: Exit(nan)"),
        ('[{"operation": "Release", "worker": 0, "scope": 1}]', "scope is a text: Release(0, 1)"),
    ],
)
def test_json_that_is_no_schedule_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    """JSON that is no schedule is a ScheduleError which says what was expected and what was there."""
    with pytest.raises(ScheduleError) as refused:
        Schedule.from_json(text)

    assert str(refused.value) == sentence


def test_json_nested_too_deeply_is_refused() -> None:
    """JSON that is nested too deeply for the parser is a ScheduleError as well."""
    with pytest.raises(ScheduleError):
        Schedule.from_json("[" * 100_000)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("Start(-1)", "worker is a whole number of at least 0: Start(-1)"),
        ("Start(0, gap=-1)", "gap is a whole number of at least 0: Start(0, gap=-1)"),
        ("Start(0, gap=0.5)", "gap is a whole number of at least 0: Start(0, gap=0.5)"),
        ("Acquire(0, 's0', after=-1)", 'after is a whole number of at least 0: Acquire(0, "s0", after=-1)'),
        ("Acquire(0, 's0', after=True)", 'after is a whole number of at least 0: Acquire(0, "s0", after=True)'),
        ("Acquire(0, 's0', after='5')", "after is a whole number of at least 0: Acquire(0, \"s0\", after='5')"),
        ("Acquire(0, b's0', after=5)", "scope is a text: Acquire(0, b's0', after=5)"),
        ("Release(None, 's0')", 'worker is a whole number of at least 0: Release(None, "s0")'),
        ("Crash(0, 'sigterm')", 'how is one of sigkill, exit, abort, segv: Crash(0, "sigterm")'),
        ("Crash(0, ['exit'])", "how is one of sigkill, exit, abort, segv: Crash(0, ['exit'])"),
        ("PauseServer(0)", "ticks is a whole number of at least 1: PauseServer(0)"),
        ("StopServer(gap=-2)", "gap is a whole number of at least 0: StopServer(gap=-2)"),
        ("Schedule(['Start(0)'])", "a schedule is made of operations: 'Start(0)'"),
    ],
)
def test_a_wrong_argument_is_refused_in_a_sentence(call: str, sentence: str) -> None:
    """A wrong argument is a ScheduleError with the argument, its rule and the operation."""
    with pytest.raises(ScheduleError) as refused:
        rebuilt(call)

    assert str(refused.value) == sentence


def test_the_least_values_are_taken() -> None:
    """Every number may be as small as its rule says."""
    assert [Start(0).gap, Acquire(0, "", after=0).after, PauseServer(1).ticks] == [0, 0, 1]


def test_a_schedule_error_is_a_value_error() -> None:
    """Who catches ValueError catches ScheduleError."""
    assert issubclass(ScheduleError, ValueError)


def test_the_workers_are_those_that_it_names_in_ascending_order() -> None:
    """The workers of a schedule are those that it names, once each, in ascending order."""
    assert ONE_OF_EACH.workers == [0, 1, 2]
    assert Schedule([Exit(7), Pause(3), Exit(7), StopServer()]).workers == [3, 7]
    assert Schedule([StopServer()]).workers == []


def test_who_is_started_first_does_not_run_at_first() -> None:
    """All workers run at first but those whose first operation starts them."""
    assert ONE_OF_EACH.running_at_first == [0, 1]
    assert Schedule([Exit(5), Start(5), Start(4), Exit(4)]).running_at_first == [5]
    assert Schedule([StartServer()]).running_at_first == []


def test_the_faults_are_named_once_in_alphabetical_order() -> None:
    """The faults of a schedule are the names of what makes the world worse, once each, in alphabetical order."""
    assert ONE_OF_EACH.faults == ["Crash", "Pause", "PauseServer"]
    assert Schedule([PauseServer(1), Crash(0, "exit"), PauseServer(2)]).faults == ["Crash", "PauseServer"]
    assert Schedule([Exit(0), Resume(0), StopServer(), StartServer(), Start(0)]).faults == []


def test_a_slice_is_a_schedule_and_an_index_an_operation() -> None:
    """A slice of a schedule is a schedule; an index gives an operation."""
    schedule = Schedule([Start(0), Exit(0), Start(0, gap=1)])

    assert schedule[1:] == Schedule([Exit(0), Start(0, gap=1)])
    assert schedule[::-2] == Schedule([Start(0, gap=1), Start(0)])
    assert [schedule[0], schedule[-1], len(schedule)] == [Start(0), Start(0, gap=1), 3]
    with pytest.raises(IndexError):
        schedule[3]


def test_a_schedule_equals_what_has_the_same_operations_and_nothing_else() -> None:
    """Schedules are equal, and hash alike, where their operations are; a list is no schedule."""
    schedule = Schedule([Start(0), Exit(0)])

    assert schedule == Schedule(iter([Start(0), Exit(0)]))
    assert hash(schedule) == hash(Schedule([Start(0), Exit(0)]))
    assert schedule != Schedule([Exit(0), Start(0)])
    assert schedule != Schedule([Start(0), Exit(0, gap=1)])
    assert schedule != [Start(0), Exit(0)]
    assert Schedule() == Schedule([])


def test_operations_of_different_kinds_differ() -> None:
    """Operations with the same fields are different where their kinds are."""
    assert len({Start(0), Exit(0), Pause(0), Resume(0), Start(0)}) == 4


def test_a_schedule_keeps_what_it_was_made_of() -> None:
    """A schedule does not change with the list of which it was made."""
    made_of: list[Operation] = [Start(0)]
    schedule = Schedule(made_of)
    made_of.append(Exit(0))

    assert schedule == Schedule([Start(0)])


def test_neither_a_schedule_nor_an_operation_can_be_changed() -> None:
    """Schedules and operations are immutable, and take no attributes of their own."""
    schedule: Any = Schedule([Start(0)])
    with pytest.raises(TypeError):
        schedule[0] = Exit(0)
    with pytest.raises(AttributeError):
        schedule.name = "mine"
    operation: Any
    for operation in ONE_OF_EACH:
        with pytest.raises(FrozenInstanceError):
            operation.gap = 9
        assert not hasattr(operation, "__dict__")


def test_a_schedule_survives_pickle_and_copy() -> None:
    """A schedule can be sent to another process, and copied."""
    assert pickle.loads(pickle.dumps(ONE_OF_EACH)) == ONE_OF_EACH
    assert copy.deepcopy(ONE_OF_EACH) == ONE_OF_EACH


def test_an_operation_alone_becomes_an_object_of_json() -> None:
    """to_object gives the operation's name and its fields, in the order of its declaration."""
    assert list(to_object(Acquire(1, "load", after=5)).items()) == [
        ("operation", "Acquire"),
        ("worker", 1),
        ("scope", "load"),
        ("after", 5),
        ("gap", 0),
    ]


# Without some of it


def instants(schedule: Schedule) -> list[tuple[int, Operation]]:
    """Returns when each operation happens, and the operation itself without its gap."""
    at = itertools.accumulate(operation.gap for operation in schedule)
    return [(instant, operation.but(gap=0)) for instant, operation in zip(at, schedule, strict=True)]


close = st.lists(operations.map(lambda operation: operation.but(gap=operation.gap % 1000)), max_size=6).map(Schedule)


@given(close, st.sets(st.sampled_from([Acquire, Release, Crash, PauseServer, StopServer, StartServer, Exit])))
def test_what_remains_happens_when_it_did(schedule: Schedule, kinds: set[type[Operation]]) -> None:
    """Without some of its operations the others of a schedule happen at the same instants, in the same order."""
    kept = [(at, each) for at, each in instants(schedule) if type(each) not in kinds]

    assert instants(schedule.without(lambda operation: type(operation) in kinds)) == kept


@given(schedules)
def test_without_nothing_a_schedule_is_the_same(schedule: Schedule) -> None:
    """Nothing left out gives the same schedule, all left out an empty one."""
    assert schedule.without(lambda _: False) == schedule
    assert schedule.without(lambda _: True) == Schedule()


def test_a_gap_that_no_operation_can_have_is_refused() -> None:
    """Where the gaps of what is left out add up to more than there can be, that is an error."""
    schedule = Schedule([PauseServer(1, gap=10**9), Exit(0, gap=1)])

    with pytest.raises(ScheduleError, match="gap is a whole number of at most 1,000,000,000"):
        schedule.without(lambda operation: isinstance(operation, PauseServer))


def test_the_gaps_of_what_is_left_out_add_up() -> None:
    """The gaps of several operations that are left out go to the next one that stays."""
    schedule = Schedule([PauseServer(2, gap=3), PauseServer(2, gap=4), Exit(0, gap=5), Exit(1, gap=1), PauseServer(1)])

    assert schedule.without(lambda operation: isinstance(operation, PauseServer)) == Schedule(
        [Exit(0, gap=12), Exit(1, gap=1)]
    )
