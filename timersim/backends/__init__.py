"""The backends: real processes, and other people's servers."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.backends.leftovers import LeftoverError, no_leftovers
    from timersim.backends.process import ProcessBackend
    from timersim.backends.torch import TorchBackend

__all__ = ["LeftoverError", "ProcessBackend", "TorchBackend", "no_leftovers"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "leftovers": ("LeftoverError", "no_leftovers"),
        "process": ("ProcessBackend",),
        "torch": ("TorchBackend",),
    },
)
