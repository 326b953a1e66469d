"""Results as lines of JSON, so that an interrupted benchmark continues."""

import json
import os
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Results:
    """The lines of a file; a line that a killed process wrote in part is left out."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: list[Line] = []
        if file.exists():
            for text in file.read_text().splitlines():
                try:
                    self.lines.append(json.loads(text))
                except ValueError:
                    continue

    def add(self, line: Line) -> None:
        """Append a line and write it to the disk."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.lines.append(line)
        with open(self.file, "a+b") as out:
            if out.tell() and not self._ends_with_newline():
                out.write(b"\n")
            out.write(json.dumps(line).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())

    def _ends_with_newline(self) -> bool:
        return self.file.read_bytes()[-1:] == b"\n"

    def where(self, **values: Any) -> list[Line]:
        """The lines with these values."""
        return [line for line in self.lines if values.items() <= line.items()]
