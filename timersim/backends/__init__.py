"""The backends: real processes, and other people's servers."""

from typing import TYPE_CHECKING

from timersim.lazy import attach

if TYPE_CHECKING:
    from timersim.backends.process import ProcessBackend
    from timersim.backends.torch import TorchBackend

__all__ = ["ProcessBackend", "TorchBackend"]

__getattr__, __dir__ = attach(
    __name__,
    {"process": ("ProcessBackend",), "torch": ("TorchBackend",)},
)
