"""Known trouble in logs: every kind is recognised, and what is fine is left alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.slurm.logs import LONGEST, TROUBLES, WORDS, Source, of_slurm, recognise, scan, source

LINES = [
    ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.batch.", "OOM Killed"),
    ("slurmstepd: error: StepId=3.0 exceeded memory limit (9 > 1), being killed", "OOM Killed"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", "OOM Killed"),
    ("MemoryError", "OOM Killed"),
    ("numpy.core._exceptions.MemoryError: Unable to allocate 9 TiB", "OOM Killed"),
    ("slurmstepd: error: *** JOB 2 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
     "Timeout"),
    ("srun: error: Node failure on n3", "Node Failure"),
    ("slurmstepd: error: *** JOB 2 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO NODE FAILURE ***",
     "Node Failure"),
    ("slurmstepd: error: *** JOB 2 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***",
     "Preempted"),
    ("slurmstepd: error: *** JOB 2 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "Canceled"),
    ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "GPU"),
    ("RuntimeError: CUDA error: no kernel image is available", "GPU"),
    ("bash: line 1: 4711 Segmentation fault      (core dumped) ./a.out", "Segmentation Fault"),
    ("cp: error writing 'x': No space left on device", "Disk Full"),
    ("touch: cannot touch 'x': Read-only file system", "Read-only File System"),
    ("/bin/sh: 1: ./run.sh: Permission denied", "Permission Denied"),
    ("ModuleNotFoundError: No module named 'nosuch'", "Python Exception"),
    ("Traceback (most recent call last):", "Python Exception"),
    ("ValueError: not a number", "Python Exception"),
    ("KeyError: 'x'", "Python Exception"),
    ("KeyboardInterrupt", "Python Exception"),
    ("thread 'main' panicked at src/main.rs:1:2", "Rust Panic"),
    ("/bin/sh: 1: nosuch: command not found", "File Not Found"),
    ("cat: x: No such file or directory", "File Not Found"),
    ("curl: (7) Failed to connect: Connection refused", "Connection Error"),
    ("2026-01-01 00:00:00,000 WARNING The store does not answer, jobs go on: x", "Store"),
    ("sbatch: error: Batch job submission failed: Invalid qos specification", "Slurm Error"),
    ("/bin/sh: line 1: 4711 Killed                  ./big", "Killed"),
    ("ERROR: it did not work", "Generic Error"),
    ("a declared output is missing: declared output out.txt missing", "Missing Output Files"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "category"), LINES)
def test_what_a_line_tells_of(line: str, category: str) -> None:
    found = recognise(line)
    assert found is not None
    assert found.category == category


@given(st.data())
def test_what_a_pattern_finds_has_one_of_the_words_looked_for_first(data: st.DataObject) -> None:
    trouble = data.draw(st.sampled_from(TROUBLES))
    pattern = re.compile(trouble.pattern, re.IGNORECASE | re.ASCII)
    text = data.draw(st.from_regex(pattern)).lower()
    assert any(word in text for word in WORDS)


def test_every_kind_of_trouble_is_shown_by_a_line_above() -> None:
    assert {recognise(line) for line, _ in LINES} == set(TROUBLES)


@pytest.mark.parametrize(
    "line",
    [
        "all went well", "", "what the errors mean",
        "2026-01-01 00:00:00,000 INFO Job failed job_id=1 job_name=error attempt_id=1",
        "DEBUG out of memory is what we simulate", "the terrors of the deep", "0 errors",
    ],
)  # fmt: skip
def test_lines_that_are_fine(line: str) -> None:
    assert recognise(line) is None


def test_each_category_is_told_once_by_the_line_that_says_most() -> None:
    text = [
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "ImportError: cannot import name 'y'",
        "Traceback (most recent call last):",
        "cat: x: No such file or directory",
    ]
    first, second = scan(text)
    assert (first.text, first.line, first.count) == (text[2], 3, 3)
    assert first.trouble.meaning == "Python did not find a module"
    assert (second.trouble.category, second.line) == ("File Not Found", 5)


def test_a_line_without_end_is_cut() -> None:
    (finding,) = scan(["Killed by fate. ERROR " + "x" * 100_000])
    assert len(finding.text) == LONGEST


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("slurm_output_wf7_sl12.o", Source(workflow_id=7, slurm_job_id=12)),
        ("job_runner_slurm_wf7_sl12_n0_pid9.log", Source(workflow_id=7, slurm_job_id=12)),
        ("job_wf7_j3_r1_a2.e", Source(workflow_id=7, job_id=3, run_id=1, attempt_id=2)),
        ("job_wf7_j3_r1_a2.log", Source(workflow_id=7, job_id=3, run_id=1, attempt_id=2)),
        ("watch_login1_wf7.log", Source(workflow_id=7)),
        ("job_runner_n1_wf7_r1.log", Source(workflow_id=7)),
        ("slurm_env_wf7_sl12_n0_pid9.log", None),
        ("results.csv", None),
    ],
)
def test_whose_a_file_is(name: str, found: Source | None) -> None:
    assert source(name) == found
    assert of_slurm(name) == name.startswith("slurm_output")
