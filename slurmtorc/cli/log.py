"""Logs of long commands: files that are appended to, never truncated."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = "%(asctime)s %(levelname)s %(message)s"


def log_to(path: Path | None) -> None:
    """Write this program's log to a file, or to stderr."""
    if path is None:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_LINE, datefmt="%H:%M:%S"))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, delay=True)
        handler.setFormatter(logging.Formatter(_LINE))
    logger = logging.getLogger("slurmtorc")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
