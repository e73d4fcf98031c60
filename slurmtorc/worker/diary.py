"""What the log says of attempts that have ended: one line each.

Apart from the worker because lines of jobs of milliseconds are written several at a time: to
write one takes ten times what it takes to make it. Failures are written at once, so that they
stand before what is decided about them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from slurmtorc.model import Report
    from slurmtorc.worker.attempts import Attempt

log = logging.getLogger(__name__)


class Diary:
    """The ends of one worker's attempts."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, attempt: Attempt, report: Report) -> None:
        """An attempt has ended."""
        self._lines.append(
            f"Job {report.status.word} job_id={report.job_id} job_name={attempt.claim.name} "
            f"attempt_id={report.attempt_id} return_code={report.return_code} "
            f"ending={report.ending.value}"
        )
        if report.status is not JobStatus.COMPLETED:
            self.write()

    def write(self) -> None:
        """Write what was noted since."""
        if self._lines:
            log.info("%s", "\n".join(self._lines))
            self._lines = []
