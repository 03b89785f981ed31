"""The backends: real processes, and other people's servers and supervisors."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.backends.leftovers import LeftoverError, no_leftovers
    from timersim.backends.process import ProcessBackend
    from timersim.backends.supervisors.backend import SupervisorBackend
    from timersim.backends.torch import TorchBackend

__all__ = ["LeftoverError", "ProcessBackend", "SupervisorBackend", "TorchBackend", "no_leftovers"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "leftovers": ("LeftoverError", "no_leftovers"),
        "process": ("ProcessBackend",),
        "supervisors.backend": ("SupervisorBackend",),
        "torch": ("TorchBackend",),
    },
)
