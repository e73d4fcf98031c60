"""`torc exec`: commands as a workflow, with real processes."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from slurmtorc.model import Job, Workflow
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from pathlib import Path

    from torc import Torc

PATIENCE_S = 60.0


def commands(folder: Path) -> list[str]:
    store = SqlStore(f"sqlite:///{folder}/torc_output/torc.db")
    found = [f"{job.name}: {job.command}" for job in store.rows(Job).items]
    store.close()
    return found


def test_words_after_dashes_are_one_command_as_they_stand(torc: Torc) -> None:
    done = torc("exec", "--", "sh", "-c", 'echo "$0|$1" > out', "a b", "$HOME", "-f")
    assert (torc.folder / "out").read_text() == "a b|$HOME\n"
    assert "Created workflow 1" in done.err
    assert "completed" in done.out


def test_commands_come_from_every_place_in_order(torc: Torc) -> None:
    torc.write("list.txt", "# comment\n\n  echo two\necho three # not one\n")
    torc("exec", "-c", "echo one", "-C", "list.txt", "-n", "mine", "--description", "for fun")
    assert commands(torc.folder) == [
        "job1: echo one", "job2: echo two", "job3: echo three # not one",
    ]  # fmt: skip
    store = SqlStore(f"sqlite:///{torc.folder}/torc_output/torc.db")
    workflow = store.get(Workflow, 1)
    assert (workflow.name, workflow.description) == ("mine", "for fun")


def test_a_list_can_come_by_a_pipe(torc: Torc) -> None:
    torc("exec", "-C", "-", stdin="echo one\n#\necho two\n")
    assert len(commands(torc.folder)) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--param", "i=1:2", "--param", "x=[a, b]"), ["r 1 a", "r 1 b", "r 2 a", "r 2 b"]),
        (("--param", "i=1:2", "--param", "x=[a, b]", "--link", "zip"), ["r 1 a", "r 2 b"]),
        (
            ("--param", "i=@values", "--param", "x=q"),
            ["r 7 q", "r word q", "r --5 q", "r 007 q", "r -3 q"],
        ),
    ],
)
def test_parameters_multiply_commands(
    torc: Torc, options: tuple[str, ...], expected: list[str]
) -> None:
    torc.write("values", "7\n\nword\r\n--5\n007\n-3\n")
    done = torc("exec", "--dry-run", "-f", "json", "-c", "r {i} {x}", *options)
    assert [job["command"] for job in done.json["jobs"]] == expected


def test_only_the_end_of_a_line_ends_a_command(torc: Torc) -> None:
    torc.write("list", "echo 'a\x0cb'\r\necho 'c\u2028d'\n")
    torc.write("values", "a\x0cb\n")
    done = torc("exec", "--dry-run", "-f", "json", "-C", "list")
    assert [job["command"] for job in done.json["jobs"]] == ["echo 'a\x0cb'", "echo 'c\u2028d'"]
    done = torc("exec", "--dry-run", "-f", "json", "-c", "echo '{x}'", "--param", "x=@values")
    assert [job["command"] for job in done.json["jobs"]] == ["echo 'a\x0cb'"]


def test_a_dry_run_prints_a_workflow_file_and_touches_nothing(torc: Torc) -> None:
    options = ("-c", "echo {i:02d}", "--param", "i=1", "--stdio", "no-stderr", "-i", "2")
    done = torc("exec", "--dry-run", "-n", "w", *options)
    assert not (torc.folder / "torc_output").exists()
    torc("spec", "check", torc.write("w.yaml", done.out))
    assert "command: echo 01" in done.out
    assert "mode: no_stderr" in done.out
    assert "sample_interval_seconds: 2" in done.out


def test_a_failure_is_shown_with_its_last_words_and_exits_with_1(torc: Torc) -> None:
    done = torc("exec", "-c", "true", "-c", "echo last words >&2; exit 3", code=1)
    assert "job2: failed, return code 3 (exit)" in done.out
    assert "  | last words" in done.out


def test_as_many_run_at_a_time_as_asked_for(torc: Torc) -> None:
    step = "mkdir lock && sleep 0.1 && rmdir lock && echo alone >> ran"
    torc("exec", "-j", "1", *(word for _ in range(4) for word in ("-c", step)))
    assert (torc.folder / "ran").read_text() == "alone\n" * 4


def test_output_goes_where_it_is_asked_to(torc: Torc) -> None:
    torc("exec", "-o", "here", "--stdio", "combined", "-c", "echo a; echo b >&2")
    (log,) = (torc.folder / "here/job_stdio").iterdir()
    assert sorted(log.read_text().split()) == ["a", "b"]


def test_ctrl_c_ends_with_130_and_the_workflow_goes_on_later(torc: Torc) -> None:
    process = torc.start("exec", "-c", "echo x >> began; [ -e go ] || sleep 100")
    limit = time.monotonic() + PATIENCE_S
    while not (torc.folder / "began").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Go on with: torc run 1" in err
    torc.write("go", "")
    torc("run", "1", "--fail-on-error")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no command to run; write torc exec -- COMMAND, or use -c or -C"),
        (("w.yaml",), "w.yaml is a workflow file; run it with: torc run w.yaml"),
        (("-C", "nowhere"), "nowhere cannot be read: No such file or directory"),
        (("-C", "w.yaml", "-C", "empty"), "no command to run"),
        (("-c", "x", "--param", "i"), "--param 'i' is not understood; write NAME=VALUES"),
        (("-c", "x", "--param", "i=1"), "--param i: no command has {i} in it"),
        (("-c", "{i}", "--param", "i=1:0"), '--param i: "1:0" gives no values'),
        (("-c", "{i}", "--param", "i=1", "--param", "i=2"), "a --param is given twice"),
        (("-c", "{i}", "--param", "i=@nowhere"), "nowhere cannot be read"),
        (
            ("-c", "{i}{x}", "--param", "i=1:2", "--param", "x=1:3", "--link", "zip"),
            "i has 2, x has 3",
        ),
        (("-c", "cat ${files.input.a}"), "torc exec: 1 fault"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_runs_nothing(
    torc: Torc, arguments: tuple[str, ...], message: str
) -> None:
    torc.write("w.yaml", "name: w\n")
    torc.write("empty", "\n")
    done = torc("exec", *arguments, code=None)
    assert done.code in {1, 2}
    assert message in done.one_line()
    assert not (torc.folder / "torc_output").exists()
