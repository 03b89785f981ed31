"""torch's own timer servers in the laboratory: their source unmodified, their real watchdog loop in virtual time."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

from timersim.backends.process import ProcessBackend
from timersim.lab.contract import Contract
from timersim.lab.specs import MAX_INTERVAL, spec_of

PACKAGE = "torch.distributed.elastic.timer"


class MissingTorchError(ImportError):
    """torch is not installed; the text says how to get it."""


class TorchBackend(ProcessBackend):
    """Runs torch's `LocalTimerServer` against real worker processes, in virtual time.

    In its modules `time`, `threading`, `queue` and `os.kill` are ours for the length of a run, and nothing else is
    touched. It is held to its interval: a worker is reaped at the latest `max_interval` after its expiration.
    Raises MissingTorchError where torch is not installed.
    """

    def __init__(
        self,
        transport: Literal["local"] = "local",
        *,
        max_interval: int = MAX_INTERVAL,
        pin: bool = False,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        if find_spec("torch") is None:
            raise MissingTorchError(
                f"torch-{transport} runs torch's own server, and torch is not installed: pip install torch==2.13.0"
            )
        name = f"torch-{transport}"
        super().__init__(
            transport,
            server=_local_server,
            contract=Contract(clock="wall", reap_within=max_interval, retry_within=max_interval),
            max_interval=max_interval,
            patch=(f"{PACKAGE}.api", f"{PACKAGE}.local_timer"),
            pin=pin,
            name=name,
            spec=spec or spec_of(name, None, None, contract=None, max_interval=max_interval, patch=None),
        )


def _local_server(world: Any) -> Any:
    from torch.distributed.elastic.timer import LocalTimerServer

    return LocalTimerServer(world.mp_queue, world.max_interval)
