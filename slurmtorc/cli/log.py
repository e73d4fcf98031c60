"""Logs of long commands: files that are appended to, never truncated."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = "%(asctime)s %(levelname)s %(message)s"


class _Patient(logging.FileHandler):
    """A log on a full disk loses lines; it must not fill the terminal instead."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Leave the line out."""


def log_to(path: Path | None) -> None:
    """Write this program's log to a file, or to stderr."""
    if path is None:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_LINE, datefmt="%H:%M:%S"))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Patient(path, delay=True)
        handler.setFormatter(logging.Formatter(_LINE))
    logger = logging.getLogger("slurmtorc")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
