"""Everything the README shows is run, in the order in which it is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_examples_run_here(tmp_path: Path) -> None:
    """Each example that is no exercise in faults, to its end, on this machine."""
    environment = with_torc(tmp_path)
    calls = [
        ["run", str(path), "--fail-on-error"]
        for path in sorted((tmp_path / "examples").glob("*.yaml"))
        if path.name not in {"broken.yaml", "steps.yaml"}  # steps need an allocation
    ]
    lists = sorted((tmp_path / "examples").glob("*.txt"))
    assert all(path.read_text().startswith("# ") for path in lists)
    calls += [["exec", "-C", str(path)] for path in lists]
    for call in calls:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "slurmtorc", *call], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "torc_output/search.json").read_text())["error"] < 0.1
    assert int((tmp_path / "torc_output/words/total").read_text()) > 500


def test_every_place_to_look_exists_and_holds_what_is_named() -> None:
    rows = re.findall(r"^\| [^|]+\? \| (.+) \|$", README, re.MULTILINE)
    places = [place for row in rows for place in re.findall(r"\]\((.+?)\)", row)]
    assert len(places) >= 10
    for place in places:
        assert (ROOT / place).exists(), place
    for place, name in re.findall(r"\]\((.+?\.py)\), `(\w+)`", README):
        assert f"def {name}(" in (ROOT / place).read_text(), f"{place} has no {name}"
