"""Logs of long commands: files that are appended to, never truncated."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = "%(asctime)s %(levelname)s %(message)s"


class _Lines(logging.Formatter):
    """Every line of a message begins with its time, of which the words are made once a second."""

    _second = -1
    _words = ""

    def format(self, record: logging.LogRecord) -> str:
        """One line of the file for each line of the message."""
        first, *more = super().format(record).split("\n")
        if not more:
            return first
        head = f"{record.asctime} {record.levelname} "
        return "\n".join([first, *(head + line for line in more)])

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  logging's name
        """2026-11-21 18:03:59,123, or as the handler wants it."""
        if int(record.created) != self._second:
            self._second = int(record.created)
            self._words = super().formatTime(record, datefmt or "%Y-%m-%d %H:%M:%S")
        return self._words if datefmt else f"{self._words},{int(record.msecs):03d}"


class _Patient(logging.FileHandler):
    """A log on a full disk loses lines; it must not fill the terminal instead."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Leave the line out."""


def log_to(path: Path | None) -> None:
    """Write this program's log to a file, or to stderr."""
    if path is None:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines(_LINE, datefmt="%H:%M:%S"))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Patient(path, delay=True)
        handler.setFormatter(_Lines(_LINE))
    _note_no_more_than_lines_show()
    logger = logging.getLogger("slurmtorc")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _note_no_more_than_lines_show() -> None:
    """For whoever writes a line for each job: the switches that logging's documentation names."""
    logging._srcfile = None  # noqa: SLF001  it has no other name: where a line was said
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
