"""The state of a soak as a file: what was done so far, from which it goes on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from timersim import __version__
from timersim.lab.report import Report
from timersim.strategies.tally import Tally

STATE = "timersim-soak"


class SoakError(ValueError):
    """A soak that can't be run; the text says why, and what can."""


@dataclass(frozen=True, slots=True)
class SoakState:
    """How far a soak of so many `schedules` is: the tally of the first ones, without a gap, and the seconds it took."""

    spec: Mapping[str, Any]
    schedules: int
    tally: Tally
    seconds: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to run."""
        return self.tally.report.examples >= self.schedules

    def at(self, tally: Tally, seconds: float) -> Self:
        """Returns it farther on."""
        return replace(self, tally=tally, seconds=seconds)

    def save(self, path: Path) -> None:
        """Writes it to a file, whole or not at all."""
        written = {
            STATE: __version__,
            "backend": dict(self.spec),
            "seed": self.tally.report.seed,
            "schedules": self.schedules,
            "seconds": round(self.seconds, 3),
            "tally": self.tally.to_object(),
        }
        beside = path.with_name(f"{path.name}.part")
        try:
            beside.write_text(json.dumps(written) + "\n", encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise SoakError(f"the state of the soak can't be written to {path}: {error.strerror}") from None

    def resumed(self, path: Path) -> Self:
        """Returns it as far as a file says that it was; itself where there is none.

        Raises SoakError for the file of another soak, and for one that is none.
        """
        if not path.exists():
            return self
        there, report = read_state(path), self.tally.report
        if (there["backend"], there["seed"]) != (dict(self.spec), report.seed):
            whose = f"that of another soak (backend {json.dumps(there['backend'])}, seed {there['seed']})"
            raise SoakError(
                f"{path} is {whose}: go on with it by --resume {path}, give another --state FILE, or remove it"
            )
        tally = _tally(path, report, there["tally"])
        if tally.report.examples > self.schedules:
            raise SoakError(
                f"{path} has {tally.report.examples:,} schedules already, more than --schedules {self.schedules}:"
                " say more, or give another --state FILE"
            )
        return replace(self, tally=tally, seconds=float(there["seconds"]))


def read_state(path: Path) -> dict[str, Any]:
    """Returns what a state's file says; raises SoakError, naming the file, for anything else."""
    if path.is_char_device():
        raise SoakError(f"{path} is no state of a soak: it is a device")  # /dev/full never ends
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SoakError(f"{path} can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SoakError(f"{path} is no state of a soak: not JSON: {error}") from None
    kinds: dict[str, Any] = {"backend": dict, "seed": int, "schedules": int, "seconds": (int, float), "tally": dict}
    if not isinstance(written, dict) or STATE not in written:
        raise SoakError(f'{path} is no state of a soak: it has no "{STATE}"')
    if wrong := [name for name, kind in kinds.items() if not isinstance(written.get(name), kind)]:
        raise SoakError(f"{path} is no state of a soak: {wrong[0]!r} is {written.get(wrong[0])!r}")
    if written[STATE] != __version__:
        raise SoakError(
            f"{path} was written by timersim {written[STATE]}, this is {__version__}: another one may draw other"
            " schedules; begin anew with another --state FILE"
        )
    return written


def _tally(path: Path, empty: Report, written: Mapping[str, Any]) -> Tally:
    try:
        return Tally.from_object(empty, written)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SoakError(f"{path} is no state of a soak: its tally is wrong: {error!r}") from None
