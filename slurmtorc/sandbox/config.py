"""The sandbox's configuration files, rendered from templates/sandbox/. Pure but for reading those.

Separate so that their text can be compared with what it should be. Values come from a checked
plan: none can add a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slurmtorc.data import templates
from slurmtorc.sandbox.plan import CLUSTER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slurmtorc.sandbox.place import Layout
    from slurmtorc.sandbox.plan import Plan


def render(place: Layout, plan: Plan) -> dict[str, str]:
    """The text of each file, by its name."""
    names = [
        "slurm.conf",
        "slurmdbd.conf",
        "cgroup.conf",
        *(["gres.conf"] if plan.shape.gpus else []),
    ]
    values = {
        "place": place,
        "plan": plan,
        "cluster": CLUSTER_NAME,
        "listen_on_own_name": _listen_on_own_name(plan),
    }
    texts = {name: _rendered(f"{name}.j2", values) for name in names}
    return {**texts, "slurm.conf": override(texts["slurm.conf"], plan.shape.settings)}


def override(text: str, settings: Iterable[tuple[str, str]]) -> str:
    """The text with each setting instead of the line of the same key, or at its end."""
    lines = text.splitlines()
    for key, value in dict(settings).items():
        line = f"{key}={value}"
        same = [number for number, old in enumerate(lines) if _key(old) == key.lower()]
        if same:
            lines[same[0]] = line
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _key(line: str) -> str:
    return line.partition("=")[0].strip().lower()


def _listen_on_own_name(plan: Plan) -> str:
    """Where the machine's own name is a loopback address, daemons can be kept to it.

    A node with a host name of its own cannot: nothing knows that name.
    """
    if not plan.loopback_name:
        return ""
    return "NoCtldInAddrAny" if plan.hostnames else "NoInAddrAny,NoCtldInAddrAny"


def _rendered(template: str, values: dict[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(templates() / "sandbox"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  configuration of daemons, not HTML
    )
    return environment.get_template(template).render(values)
