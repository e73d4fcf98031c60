"""Which commands need a shell. The two ways must never differ in what a command does."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurmtorc.worker import shell

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("true", ("true",)),
        ("  sleep 1.5  ", ("sleep", "1.5")),
        ("python3 x.py --n=3 -o out/a.txt", ("python3", "x.py", "--n=3", "-o", "out/a.txt")),
        ("./run.sh a:b,c @x %y +z", ("./run.sh", "a:b,c", "@x", "%y", "+z")),
        ("echo 'a  b' \"c d\" e'f'", ("echo", "a  b", "c d", "ef")),
        ("sh -c 'exit 3; echo $X'", ("sh", "-c", "exit 3; echo $X")),
        ("echo ''", ("echo", "")),
    ],
)
def test_plain_words_need_no_shell(command: str, words: tuple[str, ...]) -> None:
    assert shell.words(command) == words


@pytest.mark.parametrize(
    "command",
    [
        "", "   ", "a | b", "a && b", "a; b", "a > f", "a < f", "echo $HOME", "echo ${X}",
        "echo `x`",
        "echo *", "ls ?", "ls [a]", "echo ~", "echo {a,b}", "a &", "(a)", "# no", "a # no", "! a",
        "X=1 a", "a\nb", 'echo "$X"', 'echo "a\\"b"', "echo a\\ b", "cd /tmp", "export A=1",
        "exit 3", "source x", ". x", "ulimit -v 1", "time true", "exec true", "if true", "''",
        "echo 'a", 'echo "!x"', "écho a",
        "printf %b x", "test -v HOME", "pwd", "kill -l",
    ],
)  # fmt: skip
def test_what_bash_would_do_something_about_goes_to_bash(command: str) -> None:
    assert shell.words(command) is None


def test_a_long_command_is_decided_at_once() -> None:
    assert shell.words("x" * 100_000 + "$") is None
    assert shell.words("word " * 20_000 + "'") is None
    assert len(shell.words("word " * 20_000) or ()) == 20_000


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("ab1 -_./='\"$\\!*~#;%@+:,\n\té")), max_size=12))
def test_words_are_what_bash_would_pass(tail: str) -> None:
    """Whatever we split ourselves, bash splits in the same way."""
    words = shell.words(f"echo {tail}")
    if words is None:
        return
    script = f"for word in {tail}; do printf '%s\\0' \"$word\"; done"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, text=True)
    assert list(words[1:]) == done.stdout.split("\0")[:-1]


def test_a_program_is_found_on_the_jobs_own_path(tmp_path: Path) -> None:
    script = tmp_path / "mine"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert shell.program("mine", str(tmp_path)) == str(script)
    assert shell.program("mine", "/nowhere") is None
    assert shell.program("./mine", "/nowhere") == "./mine"


def test_quoting_a_word_keeps_it_one_word() -> None:
    for word in ("a b", "x=1", "a'b"):
        split = shell.words(f"echo {shlex.quote(word)}")
        assert split in {None, ("echo", word)}
