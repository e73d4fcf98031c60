"""Reads tests/recorded: what real Slurms printed, in their columns or in ours."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slurmtorc.slurm.refusals import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.slurm.commands import Columns

VERSIONS = ("22.05", "24.11", "26.05")
_FOLDER = Path(__file__).parent.parent / "recorded"

SACCT = [
    "JobIDRaw",
    "JobID",
    "JobName",
    "State",
    "ExitCode",
    "DerivedExitCode",
    "Elapsed",
    "ElapsedRaw",
    "Timelimit",
    "Start",
    "End",
    "Submit",
    "NodeList",
    "AllocTRES",
    "ReqTRES",
    "MaxRSS",
    "MaxVMSize",
    "TotalCPU",
    "CPUTimeRAW",
    "Partition",
    "Account",
    "Reason",
]
SQUEUE = [
    "%i",
    "%A",
    "%F",
    "%K",
    "%j",
    "%u",
    "%a",
    "%P",
    "%q",
    "%T",
    "%t",
    "%r",
    "%R",
    "%N",
    "%D",
    "%C",
    "%m",
    "%M",
    "%l",
    "%L",
    "%V",
    "%S",
    "%e",
    "%E",
    "%p",
    "%Z",
]
SINFO = ["%P", "%a", "%l", "%D", "%t", "%N", "%c", "%m", "%G"]


@cache
def sections(version: str, name: str) -> dict[str, str]:
    """Label -> text of one file. Labels that come twice keep both, numbered."""
    found: dict[str, str] = {}
    for part in ("\n" + text_of(version, name)).split("\n== ")[1:]:
        label, _, text = part.partition("\n")
        found[label if label not in found else f"{label}#{len(found)}"] = text
    return found


def text_of(version: str, name: str) -> str:
    return (_FOLDER / version / name).read_text()


def in_columns(text: str, recorded: list[str], columns: Columns) -> str:
    """The recorded lines as our own format would have printed them."""
    places = [recorded.index(code) for code, _ in columns]
    lines = (line.split("|") for line in text.splitlines())
    return "\n".join("|".join(fields[at] for at in places) for fields in lines if len(fields) > 1)


class Call(NamedTuple):
    label: str
    argv: list[str]
    answer: Answer


def calls(version: str, name: str) -> Iterator[Call]:
    """Every recorded call of a program, and its answer."""
    for label, text in sections(version, name).items():
        command, code, stdout, stderr = text.strip("\n").split("\n")[:4]
        argv = command.removeprefix("$ ").split()
        answer = Answer(
            argv[0],
            int(code.split()[0].removeprefix("rc=")),
            ast.literal_eval(stdout.removeprefix("stdout=")),
            ast.literal_eval(stderr.removeprefix("stderr=")),
        )
        yield Call(label.partition("#")[0], argv, answer)
