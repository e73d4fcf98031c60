"""The command: `torc`, or `python -m slurmtorc`."""

from __future__ import annotations

import gc
import os
import sys

NEW_OBJECTS = 200_000
"""After so many, garbage is looked for: a few dozen megabytes at most. It is more than a command
imports. Python's own 700 would be reached hundreds of times before a command begins, and to look
through all that is there takes as long as to import a tenth of it."""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(NEW_OBJECTS)
    _open_standard_streams()
    from slurmtorc.cli import main as run  # noqa: PLC0415  --version and -m import little

    status = run()
    gc.freeze()  # nor is it looked for at the end, when the kernel takes everything back
    sys.exit(status)


def _open_standard_streams() -> None:
    """A process started without them gets its standard streams; no file may take their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  for good


if __name__ == "__main__":
    main()
