from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from slurmtorc.cli import main, torc
from slurmtorc.cli.spec import FORMATS
from slurmtorc.spec.write import FORMATS as WRITTEN

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name: sweep
user: me
parameters: {i: "1:3"}
jobs:
  - {name: "work_{i}", command: "work {i}", use_parameters: [i], label: big}
  - {name: collect, command: collect, depends_on_regexes: [^work_]}
"""
BAD = """\
name: sweep
jobs:
  - name: a
    comand: x
    command: "run ${file.input.x}"
    depends_on: [b]
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    return written(tmp_path / "good.yaml", GOOD)


@pytest.fixture
def bad(tmp_path: Path) -> str:
    return written(tmp_path / "bad.yaml", BAD)


def written(path: Path, text: str) -> str:
    path.write_text(dedent(text))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_a_good_file_gets_its_summary_and_what_is_not_used_yet(
    capsys: pytest.CaptureFixture[str], good: str
) -> None:
    status, out, err = run(capsys, "spec", "check", good)
    assert (status, err) == (0, "")
    assert out == dedent(
        """\
        name                   sweep
        jobs                   2 -> 4
        files                  0
        user data              0
        dependency levels      2
        resource requirements  0
        schedulers             0
        failure handlers       0
        actions                0

        Accepted and kept, but not yet used:
          user
          jobs[0].label
        """
    )


def test_every_fault_is_one_line_that_an_editor_understands(
    capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    status, out, err = run(capsys, "spec", "check", bad)
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"{bad}:4:5: error: jobs[0].comand: unknown key 'comand'; did you mean 'command'?",
        (
            f"{bad}:5:5: warning: jobs[0].command: ${{file.input.x}} is not replaced; "
            "write ${files.input.NAME}, ${user_data.output.NAME} or the like"
        ),
        f"{bad}:6:18: error: jobs[0].depends_on[0]: there is no job 'b'; known: a",
        f"{bad}: 2 errors, 1 warning",
    ]


@pytest.mark.parametrize("place", ["before", "after"])
def test_json_stands_alone_on_standard_output(
    capsys: pytest.CaptureFixture[str], bad: str, place: str
) -> None:
    option = ("-f", "json")
    arguments = (
        (*option, "spec", "check", bad) if place == "before" else ("spec", "check", bad, *option)
    )
    status, out, err = run(capsys, *arguments)
    assert status == 1
    assert err.endswith("2 errors, 1 warning\n")
    found = json.loads(out)
    assert found.keys() == {"file", "valid", "faults", "unused", "summary"}
    assert (found["file"], found["valid"], found["summary"]) == (bad, False, None)
    assert found["faults"][0] == {
        "severity": "error",
        "path": "jobs[0].comand",
        "message": "unknown key 'comand'",
        "hint": "did you mean 'command'?",
        "line": 4,
        "column": 5,
    }


def test_json_of_a_good_file_has_the_summary(capsys: pytest.CaptureFixture[str], good: str) -> None:
    status, out, err = run(capsys, "-f", "json", "spec", "check", good)
    found = json.loads(out)
    assert (status, err, found["valid"], found["faults"]) == (0, "", True, [])
    assert found["unused"] == ["user", "jobs[0].label"]
    assert (found["summary"]["jobs"], found["summary"]["jobs_before_expansion"]) == (4, 2)


def test_a_file_that_cannot_be_read_gets_the_same_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = str(tmp_path / "none.yaml")
    status, out, err = run(capsys, "spec", "check", missing)
    assert (status, out) == (1, "")
    assert err == f"{missing}: error: there is no such file\n{missing}: 1 error\n"
    status, out, _ = run(capsys, "spec", "check", missing, "-f", "json")
    assert status == 1
    found = json.loads(out)
    assert (found["valid"], found["unused"], found["summary"]) == (False, [], None)


def test_warnings_alone_are_told_and_the_exit_status_is_0(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = written(tmp_path / "w.yaml", "name: x\njobs: [{name: a, command: '${file.input.x}'}]\n")
    status, out, err = run(capsys, "spec", "check", name)
    assert status == 0
    assert "jobs                   1\n" in out
    assert err.endswith(f"{name}: 1 warning\n")


@pytest.mark.parametrize("form", FORMATS)
def test_expanding_writes_a_file_that_checks_and_expands_to_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, good: str, form: str
) -> None:
    status, out, err = run(capsys, "spec", "expand", good, "--to", form)
    assert (status, err) == (0, "")
    name = written(tmp_path / f"again.{form}", "")
    (tmp_path / f"again.{form}").write_text(out)
    assert run(capsys, "spec", "check", name)[0] == 0
    assert run(capsys, "spec", "expand", name) == (0, out, "")


def test_the_formats_offered_are_those_that_can_be_written() -> None:
    assert FORMATS == WRITTEN


def test_expanding_keeps_the_format_of_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = written(tmp_path / "w.json", '{"name": "x", "jobs": []}')
    _, out, _ = run(capsys, "spec", "expand", name)
    assert json.loads(out) == {"name": "x", "jobs": []}


def test_json_output_of_an_expansion_is_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = written(tmp_path / "w.yaml", "name: x\njobs: []\n")
    for before, after in ([["-f", "json"], []], [[], ["-f", "json"]]):
        _, out, _ = run(capsys, *before, "spec", "expand", name, *after)
        assert json.loads(out) == {"name": "x", "jobs": []}


def test_standard_input_is_expanded_to_yaml() -> None:
    result = CliRunner().invoke(
        torc, ["spec", "expand", "-"], input='{"name": "x", "jobs": []}', standalone_mode=False
    )
    assert result.exception is None
    assert result.stdout == "name: x\njobs: []\n"


def test_expanding_a_faulty_file_tells_every_fault(
    capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    status, out, err = run(capsys, "spec", "expand", bad)
    assert (status, out) == (1, "")
    assert "4:5: error: jobs[0].comand" in err
    assert "6:18: error: jobs[0].depends_on[0]" in err


def test_what_a_format_cannot_hold_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = written(
        tmp_path / "w.json",
        '{"name": "x", "jobs": [], "user_data": [{"name": "u", "data": [null]}]}',
    )
    status, out, err = run(capsys, "spec", "expand", name, "--to", "toml")
    assert (status, out) == (1, "")
    assert err == (
        "torc: error: TOML has no null, and user_data[0].data[0] is null; write another format\n"
    )


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "spec", "schema")
    schema: dict[str, Any] = json.loads(out)
    assert (status, err) == (0, "")
    assert schema["title"] == "torc workflow"
    assert "jobs" in schema["required"]


def test_usage_errors_end_with_2(capsys: pytest.CaptureFixture[str], good: str) -> None:
    assert run(capsys, "spec", "check")[0] == 2
    assert run(capsys, "spec", "expand", good, "--to", "xml")[0] == 2
