"""What the examples' recovery script leaves for the next attempt of a job."""

import os
from pathlib import Path

DIVERGED = 10
SCRATCH_FULL = 11
BUSY = 12

ATTEMPT = int(os.environ.get("TORC_ATTEMPT_ID", "1"))
_WORKFLOW = os.environ.get("TORC_WORKFLOW_ID", "0")
_JOB = os.environ.get("TORC_JOB_NAME", "by_hand")
_PLACE = Path(os.environ.get("TORC_OUTPUT_DIR", "torc_output"), "recovery")


def scale() -> float:
    """By how much the step is to be shortened: 1, then a quarter of it after each recovery."""
    file = _PLACE / f"wf{_WORKFLOW}_{_JOB}.scale"
    return float(file.read_text()) if file.exists() else 1.0


def scratch() -> Path:
    """A folder of the job's own."""
    return _PLACE / f"wf{_WORKFLOW}_{_JOB}.scratch"
