"""`torc workflows reset-status`, and what a refusal advises: the real program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torc import Torc

SPEC = """
name: resets
jobs:
  - {name: a, command: "true"}
  - {name: b, command: "true"}
"""


@pytest.fixture
def created(torc: Torc) -> Torc:
    torc.write("w.yaml", SPEC)
    torc("create", "w.yaml")
    return torc


def test_a_disabled_job_stays_out_of_a_reset(created: Torc) -> None:
    created("jobs", "disable", "2")
    created("run", "1")
    reset = created("workflows", "reset-status", "1", "--no-prompts", "-f", "json").json
    assert [job["name"] for job in reset["jobs"]] == ["a"]
    assert created("jobs", "get", "2", "-f", "json").json["status"] == "disabled"


def test_what_is_closed_says_how_it_is_opened(created: Torc) -> None:
    created("cancel", "1")
    refused = created("run", "1", code=1).one_line()
    assert refused.endswith("begin what is left with: torc workflows reinit 1")
    created("workflows", "archive", "true", "1")
    refused = created("run", "1", code=1).one_line()
    assert refused.endswith("take it out of the archive first: torc workflows archive false 1")


def test_one_job_that_is_still_to_run_is_one(created: Torc) -> None:
    created("jobs", "disable", "2")
    created("workflows", "initialize", "1")
    shown = created("workflows", "reinit", "1", "--dry-run")
    assert "1 job of run 1 is still to run, as before" in shown.err
