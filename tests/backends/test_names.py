"""The backends by name."""

import sys
from pathlib import Path
from typing import Any

import pytest

from timersim.backends.names import BackendError, from_spec, load_server, make_backend
from timersim.backends.torch import MissingTorchError, TorchBackend
from timersim.fakes import SimulatedBackend
from timersim.memory_timer import MemoryTimerServer


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "memory"},
        {"name": "local"},
        {"name": "memory", "without": "reap-once"},
        {"name": "memory", "server": "timersim.memory_timer:MemoryTimerServer"},
        {
            "name": "memory",
            "server": "timersim.local_timer:LocalTimerServer",
            "max_interval": 30,
            "contract": {"reap_within": 30, "exempt": {"reaped-once": "why not"}},
            "patch": ["json"],
        },
        {"name": "local", "max_interval": 1},
    ],
)
def test_a_backend_is_rebuilt_from_its_spec(spec: dict[str, Any]) -> None:
    """A backend that was made from a spec has that spec."""
    assert from_spec(spec).spec == spec


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "pigeon"}, "there is no backend 'pigeon'; there are memory, local, torch-local"),
        (
            {"name": "memory", "without": "luck"},
            "there is no safeguard 'luck'; there are drain-before-expire, expire-at-the-instant, honour-releases,"
            " reap-once, clear-the-dead",
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
            "a saved backend has name, server, without, max_interval, contract, wire, patch, not 'pin'",
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


def test_a_server_is_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module beside the caller can be named."""
    (tmp_path / "beside_me.py").write_text("class Holder:\n    server = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    assert load_server("beside_me:Holder.server") == 7


def test_a_backend_can_stand_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Backend of the user's is taken as it is."""
    backend = SimulatedBackend(MemoryTimerServer)
    monkeypatch.setattr("timersim.memory_timer.MINE", backend, raising=False)

    assert make_backend("memory", server="timersim.memory_timer:MINE") is backend


def test_without_torch_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the error says how to get it."""
    monkeypatch.setattr("timersim.backends.torch.find_spec", lambda name: None)

    with pytest.raises(MissingTorchError) as raised:
        TorchBackend("local")
    assert str(raised.value) == (
        "torch-local runs torch's own server, and torch is not installed: pip install torch==2.13.0"
    )
