"""The command: `torc`, or `python -m slurmtorc`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from slurmtorc.cli import main as run  # noqa: PLC0415  --version and -m import little

    sys.exit(run())


if __name__ == "__main__":
    main()
