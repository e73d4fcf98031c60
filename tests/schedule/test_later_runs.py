"""Files on a disk, and what a later run makes of them; on a store in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from factories import PLENTY, a_draft, a_job, a_node, a_report

from slurmtorc.errors import Conflict
from slurmtorc.model import File, Job, JobStatus, Workflow
from slurmtorc.schedule.begin import begin
from slurmtorc.schedule.looking import contents, new_times
from slurmtorc.schedule.reinit import begin_again, plan_reinit, told
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slurmtorc.clock import ManualClock

LATER = 100.0


@pytest.fixture
def store(clock: ManualClock) -> Iterator[SqlStore]:
    opened = SqlStore("sqlite://", clock)
    yield opened
    opened.close()


class Pipeline:
    """raw -> first -> mid -> second -> out, and a job beside them; run by writing the files."""

    def __init__(self, store: SqlStore, clock: ManualClock, folder: Path, **how: Any) -> None:
        self.store, self.clock, self.folder = store, clock, folder
        self.write("raw")
        files = [File(name=name, path=name) for name in ("raw", "mid", "out")]
        jobs = (
            a_job("first", input_files=(0,), output_files=(1,)),
            a_job("second", input_files=(1,), output_files=(2,)),
            "beside",
        )
        workflow = Workflow(name="w", user="u", submission_directory=str(folder))
        self.id = store.create(a_draft(*jobs, files=files, workflow=workflow))
        begin(store, self.id, **how)
        self.run()

    def write(self, name: str, text: str = "", *, at: float | None = None) -> None:
        path = self.folder / name
        path.write_text(text)
        if at is not None:
            os.utime(path, (at, at))

    def run(self) -> list[str]:
        """To the end; the names of what ran."""
        run_id = self.store.get(Workflow, self.id).run_id
        node = self.store.register(a_node(self.id, lease_until=0.0)).id
        ran = []
        while claims := self.store.claim(node, PLENTY, 9):
            self.store.start(node, [claim.job_id for claim in claims])
            for claim in claims:
                self.clock.sleep(10)
                for _, path in claim.outputs:
                    self.write(path, at=self.clock.now())
                files = tuple((file_id, self.clock.now()) for file_id, _ in claim.outputs)
                times = {"start_time": self.clock.now(), "completion_time": self.clock.now()}
                report = a_report(claim, run_id=run_id, files=files, **times)
                self.store.complete(node, [report])
                ran.append(claim.name)
        return ran

    def why(self, **how: Any) -> dict[str, str]:
        plan = plan_reinit(self.store, self.id, **how)
        return {plan.jobs[job].name: told(reasons) for job, reasons in plan.reasons.items()}

    def run_again(self, **how: Any) -> list[str]:
        begin_again(self.store, plan_reinit(self.store, self.id, **how))
        return self.run()


@pytest.fixture
def pipeline(store: SqlStore, clock: ManualClock, tmp_path: Path) -> Pipeline:
    return Pipeline(store, clock, tmp_path)


def test_nothing_runs_again_after_a_run_that_left_everything_as_it_was(pipeline: Pipeline) -> None:
    assert pipeline.why() == {}
    assert not plan_reinit(pipeline.store, pipeline.id).is_needed


def test_a_changed_source_runs_all_behind_it_again_once(pipeline: Pipeline) -> None:
    pipeline.write("raw", at=LATER)
    assert pipeline.why() == {
        "first": "input file raw was changed at 1970-01-01T00:01:40.000Z",
        "second": "runs after first, which runs again",
    }
    assert pipeline.run_again() == ["first", "second"]
    assert pipeline.why() == {}


def test_a_file_between_that_somebody_has_edited_runs_its_reader_again_once(
    pipeline: Pipeline,
) -> None:
    pipeline.write("mid", at=LATER)
    assert list(pipeline.why()) == ["second"]
    assert pipeline.run_again() == ["second"]
    assert pipeline.why() == {}


def test_a_file_between_that_was_cleaned_up_is_missed_once_its_reader_runs_again(
    pipeline: Pipeline,
) -> None:
    (pipeline.folder / "mid").unlink()
    assert pipeline.why() == {}
    (pipeline.folder / "out").unlink()
    found = pipeline.why()
    assert found["first"] == "its output file mid is missing"
    assert found["second"].startswith(
        "input file mid has disappeared; its output file out is missing; runs after first"
    )
    assert pipeline.run_again() == ["first", "second"]
    assert pipeline.why() == {}


def test_an_output_nobody_reads_is_missed_too(pipeline: Pipeline) -> None:
    (pipeline.folder / "out").unlink()
    assert pipeline.why() == {"second": "its output file out is missing"}


def test_a_source_that_is_missing_is_named_and_nothing_is_begun(pipeline: Pipeline) -> None:
    (pipeline.folder / "raw").unlink()
    plan = plan_reinit(pipeline.store, pipeline.id)
    assert list(plan.reasons) == [1, 2]
    before = [pipeline.store.get(Workflow, pipeline.id), pipeline.store.rows(Job).items]
    with pytest.raises(Conflict, match=r"files that jobs read do not exist in .*: raw"):
        begin_again(pipeline.store, plan)
    assert [pipeline.store.get(Workflow, pipeline.id), pipeline.store.rows(Job).items] == before
    assert begin_again(pipeline.store, plan, ignore_missing=True).run_id == 2


def test_a_source_that_was_missing_has_appeared(store: SqlStore, tmp_path: Path) -> None:
    workflow = Workflow(name="w", user="u", submission_directory=str(tmp_path))
    reads = a_job("reads", input_files=(0,))
    draft = a_draft(reads, files=[File(name="f", path="f")], workflow=workflow)
    workflow_id = store.create(draft)
    begin(store, workflow_id, ignore_missing=True)
    node = store.register(a_node(workflow_id, lease_until=0.0)).id
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.complete(node, [a_report(claim)])
    (tmp_path / "f").touch()
    (reasons,) = plan_reinit(store, workflow_id).reasons.values()
    assert told(reasons).startswith("input file f has appeared at ")


def test_a_failed_job_stays_until_its_input_is_changed(pipeline: Pipeline) -> None:
    job = pipeline.store.rows(Job, name="second").items[0]
    pipeline.store.reset_jobs(pipeline.id, [job.id])
    begin(pipeline.store, pipeline.id, after_run=1)
    node = pipeline.store.register(a_node(pipeline.id, lease_until=0.0)).id
    (claim,) = pipeline.store.claim(node, PLENTY, 9)
    pipeline.store.start(node, [claim.job_id])
    pipeline.store.complete(node, [a_report(claim, run_id=2, return_code=1)])
    assert pipeline.store.get(Job, job.id).status is JobStatus.FAILED
    assert pipeline.why() == {}
    pipeline.write("mid", at=LATER)
    assert list(pipeline.why()) == ["second"]


# ── contents ─────────────────────────────────────────────────────────────────


@pytest.fixture
def hashed(store: SqlStore, clock: ManualClock, tmp_path: Path) -> Pipeline:
    """Begun with the contents of its source noted."""
    return Pipeline(store, clock, tmp_path, by_contents=True)


def test_the_same_contents_at_another_time_are_no_change(hashed: Pipeline) -> None:
    hashed.write("raw", at=LATER)
    assert hashed.why(by_contents=True) == {}
    assert list(hashed.why()) == ["first", "second"]


def test_other_contents_at_the_same_time_are_a_change(hashed: Pipeline) -> None:
    time = (hashed.folder / "raw").stat().st_mtime
    hashed.write("raw", "other", at=time)
    assert hashed.why() == {}
    assert hashed.why(by_contents=True)["first"].startswith("the contents of input file raw were")
    assert hashed.run_again(by_contents=True) == ["first", "second"]
    assert hashed.why(by_contents=True) == {}


def test_without_noted_contents_the_time_decides_and_the_reason_says_so(
    pipeline: Pipeline,
) -> None:
    pipeline.write("raw", at=LATER)
    assert (
        "its contents were not noted, so its time decides"
        in pipeline.why(by_contents=True)["first"]
    )


def test_contents_of_what_is_written_anew_are_forgotten(hashed: Pipeline) -> None:
    """They are those of the run before; the new ones are not known."""
    hashed.write("mid", "edited", at=LATER)
    assert hashed.run_again(by_contents=True) == ["second"]
    (mid,) = hashed.store.rows(File, name="mid").items
    assert mid.content_hash == contents(str(hashed.folder), "mid")
    hashed.write("raw", "other")
    assert hashed.run_again(by_contents=True) == ["first", "second"]
    assert hashed.why(by_contents=True) == {}


def test_a_folder_has_a_time_and_no_contents(tmp_path: Path) -> None:
    assert contents(str(tmp_path), ".") is None


# ── many ─────────────────────────────────────────────────────────────────────


def test_the_number_of_questions_does_not_grow_with_the_number_of_files(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = store._ask

    def counted(question: Any) -> Any:
        asked.append("?")
        return ask(question)

    monkeypatch.setattr(store, "_ask", counted)
    numbers = []
    for count in (2, 300):
        files = [File(name=f"f{n}", path=f"f{count}-{n}") for n in range(count)]
        jobs = [a_job(f"j{n}", input_files=(n,)) for n in range(count)]
        workflow = Workflow(name="w", user="u", submission_directory=str(tmp_path))
        workflow_id = store.create(a_draft(*jobs, files=files, workflow=workflow))
        begin(store, workflow_id, ignore_missing=True)
        asked.clear()
        plan_reinit(store, workflow_id)
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]


# ── overtaken, and noted by others ───────────────────────────────────────────


def test_contents_of_another_time_are_forgotten_if_they_are_not_looked_at(
    hashed: Pipeline,
) -> None:
    hashed.write("raw", "other", at=LATER)
    assert hashed.run_again() == ["first", "second"]
    assert hashed.why(by_contents=True) == {}


def test_a_plan_is_overtaken_by_a_job_that_was_not_in_it(pipeline: Pipeline) -> None:
    pipeline.write("mid", at=LATER)
    plan = plan_reinit(pipeline.store, pipeline.id)
    pipeline.store.reset_jobs(pipeline.id, [1])
    with pytest.raises(Conflict, match="changed meanwhile; nothing was begun"):
        begin_again(pipeline.store, plan)
    assert pipeline.store.get(Workflow, pipeline.id).run_id == 1


def test_new_times_are_those_of_files_that_no_other_job_reads(pipeline: Pipeline) -> None:
    pipeline.write("raw", at=LATER)
    pipeline.write("mid", at=LATER)
    workflow = pipeline.store.get(Workflow, pipeline.id)
    raw, mid = (pipeline.store.rows(File, name=name).items[0].id for name in ("raw", "mid"))
    assert new_times(pipeline.store, workflow, [1]) == {raw: LATER}
    assert new_times(pipeline.store, workflow, [1, 2]) == {raw: LATER, mid: LATER}
