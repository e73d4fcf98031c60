"""`torc` as a user starts it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMMAND = (sys.executable, "-P", "-m", "slurmtorc")
PATIENCE_S = 120


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must hold JSON alone."""
        return json.loads(self.out)

    def one_line(self) -> str:
        """The error, which must be one line and no traceback."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("torc: error: ")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("torc: error: ")


class Torc:
    """Runs commands in one folder."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.env = {**os.environ, **(env or {})}

    def __call__(self, *arguments: str, code: int | None = 0, stdin: str | None = None) -> Done:
        """Run a command, and see that it exits as expected (None: in any way)."""
        done = subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True,
            input=stdin if stdin is not None else "", timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert code in {None, done.returncode}, (
            f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [*COMMAND, *arguments], cwd=self.folder, env=self.env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def write(self, name: str, text: str) -> str:
        """A file in the folder; its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name
