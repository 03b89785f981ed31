"""The backends by name."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from timersim.backends.names import EXAMPLES, BackendError, default_names, load_server, make_backend
from timersim.backends.rack import from_spec
from timersim.backends.torch import MissingTorchError, SimulatedTorchBackend, TorchBackend
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS, backend_without
from timersim.lab import Acquire, Contract, Duplicate, Release, Schedule, run
from timersim.lab.specs import stated
from timersim.memory_timer import MemoryTimerServer


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "memory"},
        {"name": "local"},
        {"name": "file"},
        {"name": "socket"},
        {"name": "memory", "without": "reap-once"},
        {"name": "memory", "without": "heed-the-sequence"},
        {"name": "memory", "without": "reap-once", "max_interval": 30},
        {"name": "local", "without": "reap-once"},
        {"name": "file", "without": "reap-once", "max_interval": 30},
        {"name": "socket", "without": "heed-the-sequence"},
        {"name": "file", "server": "timersim.file_based_local_timer:FileTimerServer"},
        {"name": "socket", "server": "timersim.socket_timer:SocketTimerServer", "contract": {"reap_within": 30}},
        {"name": "memory", "server": "timersim.memory_timer:MemoryTimerServer"},
        {
            "name": "memory",
            "server": "timersim.local_timer:LocalTimerServer",
            "max_interval": 30,
            "contract": {"reap_within": 30, "exempt": {"reaped-once": "why not"}},
            "patch": ["json"],
        },
        {"name": "local", "max_interval": 1},
        *(
            pytest.param({"name": name, "max_interval": 30}, marks=pytest.mark.torch)
            for name in EXAMPLES
            if "torch" in name
        ),
    ],
)
def test_a_backend_is_rebuilt_from_its_spec(spec: dict[str, Any]) -> None:
    """A backend that was made from a spec has that spec."""
    if "torch" in spec["name"]:
        pytest.importorskip("torch")
    assert from_spec(spec).spec == spec


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "pigeon"}, "there is no backend 'pigeon'; there are " + ", ".join(EXAMPLES)),
        (
            {"name": "memory", "without": "luck"},
            "there is no safeguard 'luck'; timersim check --ablations lists them",
        ),
        (
            {"name": "memory", "without": "reap-ones"},
            "there is no safeguard 'reap-ones'; did you mean reap-once? timersim check --ablations lists them",
        ),
        (
            {"name": "local", "without": "heed-the-sequence"},
            "heed-the-sequence can't be taken out of the server of local; run it with --backend memory or socket",
        ),
        (
            {"name": "local", "without": "signal-incarnations"},
            "signal-incarnations can't be taken out of the server of local; run it with --backend memory",
        ),
        ({"name": "memory", "server": "json"}, "a server is named MODULE:NAME, as in my_module:my_server: 'json'"),
        ({"name": "memory", "server": "json:nope"}, "the server 'json:nope' can't be found: json has no 'nope'"),
        (
            {"name": "memory", "server": "no_such:x"},
            "the server 'no_such:x' can't be imported: ModuleNotFoundError: No module named 'no_such'",
        ),
        ({"name": "memory", "max_interval": 0}, "a saved backend has a wrong max_interval: 0"),
        ({"name": "memory", "max_interval": True}, "a saved backend has a wrong max_interval: True"),
        ({"name": "memory", "contract": 7}, "a saved backend has a wrong contract: 7"),
        ({"name": "memory", "patch": "json"}, "a saved backend has a wrong patch: 'json'"),
        (
            {"name": "memory", "patch": ["no_such"]},
            "patch names a module that can't be imported: No module named 'no_such'",
        ),
        (
            {"name": "memory", "contract": {"haste": 1}},
            "the saved backend {'name': 'memory', 'contract': {'haste': 1}} can't be made: Contract.__init__() got an"
            " unexpected keyword argument 'haste'",
        ),
        (
            {"name": "memory", "pin": True},
            "a saved backend has name, server, without, max_interval, contract, tick, wire, patch, worker, "
            "start_method, limit, not 'pin'",
        ),
        ({"name": "memory", "wire": ["shared"]}, "a saved backend has a wrong wire: ['shared']"),
        (
            {"name": "memory", "contract": {"reap_within": "30"}},
            "the contract of a saved backend has a wrong reap_within: '30'",
        ),
        (
            {"name": "memory", "contract": {"survives": "Drop"}},
            "the contract of a saved backend has a wrong survives: 'Drop'",
        ),
        ({"server": "a:b"}, "a saved backend has a name: {'server': 'a:b'}"),
        (
            {"name": "memory", "server": "a:b", "without": "reap-once"},
            "--without takes a safeguard out of timersim's own server; it can't be used with --server",
        ),
        (
            {"name": "torch-local", "without": "reap-once"},
            "torch-local runs torch's own server; it takes no other, and none can be left out of it",
        ),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(arguments: dict[str, Any], sentence: str) -> None:
    """Each wrong name is answered with what there is."""
    with pytest.raises(BackendError) as raised:
        from_spec(arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ("memory", "local", "file", "socket")),
        ({"without": "reap-once"}, ("memory", "local", "file", "socket")),
        ({"without": "heed-the-sequence"}, ("memory", "socket")),
        ({"without": "spare-the-servers-group"}, ("memory",)),
        ({"without": "signal-incarnations"}, ("memory",)),
        ({"without": "outlive-a-sender"}, ("memory", "local", "file", "socket")),
        ({"server": "a:b"}, ("memory",)),
        ({"is_real_time": True}, ("local", "file", "socket")),
        ({"without": "heed-the-sequence", "is_real_time": True}, ("socket",)),
        ({"server": "a:b", "is_real_time": True}, ("local",)),
    ],
)
def test_without_a_choice_those_are_checked_that_can_be(given: dict[str, Any], names: tuple[str, ...]) -> None:
    """A safeguard is taken out of the servers that have it, and of none that would hit strangers without it."""
    assert default_names(**given) == names


@pytest.mark.parametrize("safeguard", ABLATIONS)
def test_an_ablation_has_one_backend(safeguard: str) -> None:
    """By its name an ablation is rebuilt with the contract, the wire and the server that it was searched with."""
    made, again = backend_without(safeguard), from_spec(backend_without(safeguard).spec or {})
    schedule = Schedule([Acquire(0, "s", after=5), Duplicate(0, 1, gap=1), Release(0, "s", gap=1)])

    assert (again.contract, again.spec, repr(again)) == (made.contract, made.spec, repr(made))
    assert run(schedule, again).hash == run(schedule, made).hash


def test_a_server_is_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside the caller can be named."""
    (tmp_path / "beside_me.py").write_text("class Holder:\n    server = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    assert load_server("beside_me:Holder.server") == 7


def test_a_module_that_fails_is_not_said_to_lack_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the module itself asks for what there is not, the error says that, and not that the server is missing."""
    (tmp_path / "asks_in_vain.py").write_text("import os\n\nos.nothing_of_the_kind\n\ndef server(world): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    with pytest.raises(BackendError) as raised:
        load_server("asks_in_vain:server")
    assert str(raised.value) == (
        "the server 'asks_in_vain:server' can't be imported: AttributeError: module 'os' has no attribute"
        " 'nothing_of_the_kind'"
    )


def test_every_promise_of_a_contract_can_be_saved() -> None:
    """What a contract states comes back from a saved backend."""
    contract = Contract(
        "wall", 30, 2.5, 1, "forgets", "pid", "sequence", frozenset({"Drop", "Delay"}), {"reaped-once": "why not"}
    )
    backend = from_spec({"name": "memory", "contract": json.loads(json.dumps(stated(contract)))})

    assert len(stated(contract)) == len(fields(Contract))
    assert backend.contract == contract


def test_a_backend_can_stand_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Backend of the user's is taken as it is."""
    backend = SimulatedBackend(MemoryTimerServer)
    monkeypatch.setattr("timersim.memory_timer.MINE", backend, raising=False)

    assert make_backend("memory", server="timersim.memory_timer:MINE") is backend


@pytest.mark.parametrize("make", [TorchBackend, SimulatedTorchBackend])
def test_torch_has_no_socket(make: Any) -> None:
    """A transport that torch does not have is named, with those that it has."""
    with pytest.raises(ValueError, match=r"^the transport of torch's servers is local or file: transport='socket'$"):
        make("socket")


def test_without_torch_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the error says how to get it."""
    monkeypatch.setattr("timersim.backends.torch.find_spec", lambda name: None)

    for name, make in (("torch-local", TorchBackend), ("torch-local-memory", SimulatedTorchBackend)):
        with pytest.raises(MissingTorchError) as raised:
            make("local")
        assert str(raised.value) == (
            f"{name} runs torch's own server, and torch is not installed: pip install torch==2.13.0"
        )
