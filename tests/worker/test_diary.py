"""Lines about ended attempts: several at a time, and a failure before what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factories import PLENTY, a_draft, a_report, begin

from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.attempts import Attempt
from slurmtorc.worker.diary import Diary
from slurmtorc.worker.paths import Stdio
from slurmtorc.worker.rooms import Place

if TYPE_CHECKING:
    import pytest

    from slurmtorc.model import Report


def attempts(*codes: int) -> list[tuple[Attempt, Report]]:
    """So many, and what they came to."""
    store = SqlStore("sqlite://")
    _, node = begin(store, a_draft(*(f"j{i}" for i in range(len(codes)))))
    claims = store.claim(node, PLENTY, len(codes))
    return [
        (Attempt(claim, Stdio(None, None), Place()), a_report(claim, return_code=code))
        for claim, code in zip(claims, codes, strict=True)
    ]


def test_what_is_noted_is_written_once_and_a_failure_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="slurmtorc")
    diary = Diary()
    good, bad, last = attempts(0, 3, 0)
    diary.note(*good)
    assert caplog.messages == []
    diary.note(*bad)
    (message,) = caplog.messages
    assert message.splitlines() == [
        "Job completed job_id=1 job_name=j0 attempt_id=1 return_code=0 ending=exit",
        "Job failed job_id=2 job_name=j1 attempt_id=1 return_code=3 ending=exit",
    ]
    diary.note(*last)
    diary.write()
    diary.write()
    assert [line.split()[3] for each in caplog.messages for line in each.splitlines()] == [
        "job_name=j0",
        "job_name=j1",
        "job_name=j2",
    ]
