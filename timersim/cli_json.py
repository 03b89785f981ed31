"""Reports as JSON: to a file, or to standard output."""

import json
import sys
from pathlib import Path
from typing import Any

from timersim.backends.names import BackendError


def check_writable(path: Path, what: str = "report") -> None:
    """Raises BackendError where `path` can't be written: before a long run rather than after it."""
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise BackendError(f"the {what} can't be written to {path}: {error.strerror}") from None


def write_json(file: str, content: dict[str, Any]) -> None:
    """Writes an object to a file; - is standard output.

    >>> write_json("-", {"runs": []})
    {
     "runs": []
    }
    """
    text = json.dumps(content, indent=1)
    if file == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        Path(file).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BackendError(f"the report can't be written to {file}: {error.strerror}") from None
