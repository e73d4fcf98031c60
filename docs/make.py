"""Writes the parts of docs/ that are made from the program: the commands, and the spec's schema.

python docs/make.py            rewrite them
python docs/make.py --check    say what is out of date, and which links lead nowhere
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc import spec
from slurmtorc.cli import COMMANDS, torc

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent
ROOT = DOCS.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def commands() -> str:
    """Every command with its help, as `--help` prints it."""
    parts = [
        "# Commands",
        "Every command takes `--url` and `-f/--format`, before or after its name. This page is",
        "made from the program by `make docs`.",
        "",
    ]
    for path, command in walk(torc, ("torc",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=96)
        parts += [f"## `{' '.join(path)}`", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def walk(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, in the order of its help."""
    yield path, group
    context = click.Context(group)
    names = list(COMMANDS) if group is torc else sorted(group.list_commands(context))
    for name in names:
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


def pages() -> dict[Path, str]:
    """What is made, and where it goes."""
    schema = json.dumps(spec.schema(), indent=2, ensure_ascii=False)
    return {DOCS / "cli.md": commands(), DOCS / "spec.schema.json": schema + "\n"}


def dead_links() -> Iterator[str]:
    """Links of our pages to files that do not exist."""
    for page in (*ROOT.glob("*.md"), *DOCS.glob("*.md")):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)}: {target} does not exist"


def main(arguments: list[str]) -> int:
    """Rewrite, or check; the exit status."""
    made = pages()
    if "--check" not in arguments:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    faults = [
        f"{path.relative_to(ROOT)} is out of date: run `make docs`"
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    faults += dead_links()
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
