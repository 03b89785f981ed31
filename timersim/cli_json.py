"""Reports as JSON: to a file, or to standard output."""

import json
import sys
from pathlib import Path
from typing import Any

from timersim.cli_files import writing


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
    with writing(Path(file)):
        Path(file).write_text(text + "\n", encoding="utf-8")
