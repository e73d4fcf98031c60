"""Everything the README shows is run, in the order in which it is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PATIENCE_S = 170


def sessions() -> list[tuple[str, int, list[str]]]:
    """(command, expected exit status, fragments of its output) of every console block."""
    found: list[tuple[str, int, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                command, _, remark = line[2:].partition("#")
                code = re.search(r"exit (\d+)", remark)
                found.append((command.strip(), int(code[1]) if code else 0, []))
            else:
                found[-1][2].extend(part.strip() for part in line.split("…") if part.strip())
    return found


@pytest.fixture
def newcomer(tmp_path: Path, sandbox_directory: Path) -> dict[str, str]:
    """A folder with the examples, torc on PATH, and a sandbox that is not the user's own."""
    return {**with_torc(tmp_path), "DIR": str(sandbox_directory)}


def with_torc(folder: Path) -> dict[str, str]:
    """The examples in a folder, and an environment in which torc and its Python are found."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    tools = folder / "bin"
    tools.mkdir()
    programs = {"torc": "-P -m slurmtorc ", "python3": ""}
    for name, module in programs.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module}"$@"\n')
        (tools / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}


def test_the_tour(newcomer: dict[str, str], tmp_path: Path) -> None:
    shown = sessions()
    assert len(shown) >= 10
    for command, code, fragments in shown:
        # In the test the sandbox lies where no other one can be.
        line = re.sub(r"torc sandbox (\w+)", r'torc sandbox \1 --dir "$DIR"', command)
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=newcomer, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        output = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == code, f"{command}: exit {done.returncode}\n{output}"
        for fragment in fragments:
            assert " ".join(fragment.split()) in output, f"{command} does not print {fragment!r}"


def test_the_readme_shows_the_smallest_example_as_it_is() -> None:
    (shown,) = re.findall(r"```yaml\n(name: hello.*?)```", README, re.DOTALL)
    text = (ROOT / "examples/hello.yaml").read_text()
    assert text.endswith(shown)


@pytest.mark.parametrize(
    "name",
    [p.name for p in sorted((ROOT / "examples").glob("*.*")) if p.suffix not in {".sh", ".txt"}],
)
def test_every_example_says_what_it_is_and_is_checked(name: str, tmp_path: Path) -> None:
    path = ROOT / "examples" / name
    assert path.read_text().startswith(("# ", "// ")), "a first-line comment says what it shows"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "slurmtorc", "spec", "check", str(path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == (1 if name == "broken.yaml" else 0), done.stderr


ELSEWHERE = {
    "broken.yaml": "an exercise in faults",
    "steps.yaml": "needs an allocation: run with those",
    "pending_failed.yaml": "waits for a decision: run below",
}


OUTCOMES: dict[str, dict[str, Callable[[str], bool]]] = {
    "spawn_search.yaml": {"search.json": lambda text: json.loads(text)["error"] < 0.1},
    "spawn_shell.yaml": {"words/total": lambda text: int(text) > 500},
    "collatz.toml": {"collatz_longest.txt": lambda text: text == "442 230631\n"},
    "workflow_actions_data_pipeline.yaml": {
        "weather/log.txt": lambda text: "valid data deleted" in text
    },
}
"""Files that must be there afterwards, and what is true of them."""


@pytest.mark.parametrize(
    "name",
    [
        path.name
        for path in sorted((ROOT / "examples").glob("*.*"))
        if path.suffix in {".yaml", ".json5", ".toml", ".kdl"} and path.name not in ELSEWHERE
    ],
)
def test_the_examples_run_here(name: str, tmp_path: Path) -> None:
    """Each to its end, on this machine."""
    environment = with_torc(tmp_path)
    done = torc(tmp_path, "run", f"examples/{name}", "--fail-on-error", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for path, sound in OUTCOMES.get(name, {}).items():
        assert sound((tmp_path / "torc_output" / path).read_text())


def test_a_list_of_commands_is_a_workflow_too(tmp_path: Path) -> None:
    lists = sorted((ROOT / "examples").glob("*.txt"))
    assert all(path.read_text().startswith("# ") for path in lists)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for path in lists:
        done = torc(tmp_path, "exec", "-C", str(path))
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_set_aside_goes_on_after_a_decision(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert torc(tmp_path, "run", "examples/pending_failed.yaml", "--fail-on-error").returncode
    listed = torc(tmp_path, "-f", "json", "jobs", "list", "1", "--status", "pending_failed")
    (fit,) = json.loads(listed.stdout)["jobs"]
    (tmp_path / "torc_output/licence").touch()
    assert torc(tmp_path, "jobs", "classify", str(fit["id"]), "retry").returncode == 0
    done = torc(tmp_path, "run", "1", "--fail-on-error")
    assert done.returncode == 0, done.stdout + done.stderr


def torc(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, in a folder."""
    command = [sys.executable, "-P", "-m", "slurmtorc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def test_every_place_to_look_exists_and_holds_what_is_named() -> None:
    rows = re.findall(r"^\| [^|]+\? \| (.+) \|$", README, re.MULTILINE)
    places = [place for row in rows for place in re.findall(r"\]\((.+?)\)", row)]
    assert len(places) >= 10
    for place in places:
        assert (ROOT / place).exists(), place
    for place, name in re.findall(r"\]\((.+?\.py)\), `(\w+)`", README):
        assert f"def {name}(" in (ROOT / place).read_text(), f"{place} has no {name}"
