"""Writes what is made: in docs/ commands, the spec's schema, the tables of speed; SQL for a glance.

python docs/make.py            rewrite them
python docs/make.py --check    say what is out of date, and which links lead nowhere
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc import spec
from slurmtorc.cli import COMMANDS, torc
from slurmtorc.store import glance, overview

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
    return {
        DOCS / "cli.md": commands(),
        glance.WRITTEN: overview.written(),
        DOCS / "spec.schema.json": schema + "\n",
        DOCS / "performance.md": performance((DOCS / "performance.md").read_text("utf-8")),
    }


# ── speed ────────────────────────────────────────────────────────────────────


def performance(page: str) -> str:
    """The page about speed, with the tables of what was measured last."""
    made = {"baseline": baseline(), "profile": profile()}
    for name, lines in made.items():
        start, end = f"<!-- {name}: made by make docs -->", f"<!-- end of {name} -->"
        assert start in page, f"docs/performance.md has lost its mark {start}"
        before, _, rest = page.partition(start)
        after = rest.partition(end)[2]
        page = "\n".join((f"{before}{start}", "", *lines, "", f"{end}{after}"))
    return page


def baseline() -> list[str]:
    """What was measured and saved last."""
    path = ROOT / "bench" / "baseline.json"
    if not path.exists():
        return ["No baseline has been saved yet."]
    saved = json.loads(path.read_text("utf-8"))
    return [
        f"Measured on {where(saved['machine'])}.",
        "",
        "| benchmark | measure | median | beside | ratio | target | reached |",
        "|---|---|---|---|---|---|---|",
        *(figure_row(figure) for figure in saved["figures"]),
    ]


def figure_row(figure: dict[str, Any]) -> str:
    """One line of the table of speed."""
    target = figure["target"]
    beside = f"{figure['beside']}: {number(figure['reference'])}" if figure["beside"] else ""
    unit = figure["unit"]
    limit = ""
    if target:
        sign = "≥" if figure["higher"] else "≤"
        limit = f"{sign} {number(target['limit'])} {'x' if target['of_ratio'] else unit}"
    cells = (
        *(f"`{figure['benchmark']}`", figure["row"]),
        *(f"{number(figure['value']['median'])} {unit}", beside, number(figure["ratio"]), limit),
        {True: "yes", False: "**no**", None: ""}[figure["reached"]],
    )
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """With three figures that say something."""
    if value is None:
        return ""
    whole = abs(value) >= 100 or not value  # noqa: PLR2004  three figures
    return f"{value:,.0f}" if whole else f"{value:.3g}"


def profile() -> list[str]:
    """Where the CPU time of a run went."""
    path = ROOT / "bench" / "profile.json"
    if not path.exists():
        return ["No profile has been made yet."]
    said = json.loads(path.read_text("utf-8"))
    each = 1000 * said["own_cpu"] / said["jobs"]
    return [
        f"{said['jobs']:,} jobs on {where(said['machine'])}: {each:.2f} ms of CPU for each job.",
        "",
        "| what for | part |",
        "|---|---|",
        *(f"| {area} | {100 * part:.1f} % |" for area, part in said["parts"].items()),
    ]


def where(machine: dict[str, Any]) -> str:
    """The machine of a measurement."""
    return (
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['system']}, "
        f"Python {machine['python']}, {machine['date']}"
    )


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
