r"""Which texts of an item parameters reach into, and whether their placeholders make sense there.

In names and paths a `{word}` that is no parameter is an error. In commands, environments, data
and patterns braces are legal for other reasons (shell, awk, Python, `\w{3}`): there only a word
that is probably meant as a parameter is worth a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.spec import shape, top
from slurmtorc.spec.faults import did_you_mean, nearest
from slurmtorc.spec.placeholders import PLACEHOLDER, SHELL_VARIABLE, formatted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.fields import Shape
    from slurmtorc.spec.items import Item
    from slurmtorc.spec.placeholders import Scalar

STRICT: Mapping[type[Shape], tuple[str, ...]] = {
    shape.JobShape: (
        "name", "resource_requirements", "scheduler", "depends_on", "input_files",
        "output_files", "input_user_data", "output_user_data", "input_datasets",
        "output_datasets",
    ),
    shape.FileShape: ("name", "path"),
    shape.UserDataShape: ("name",),
    top.Head: (),
}  # fmt: skip
"""Fields whose text is a name or a path."""

LOOSE: Mapping[type[Shape], tuple[str, ...]] = {
    shape.JobShape: (
        "command", "invocation_script", "env", "label", "depends_on_regexes",
        "input_file_regexes", "output_file_regexes", "input_user_data_regexes",
        "output_user_data_regexes",
    ),
    shape.FileShape: ("identifier",),
    shape.UserDataShape: ("data",),
    top.Head: ("env",),
}  # fmt: skip
"""Fields whose text may have braces of its own."""


def check_texts(items: Iterable[Item[Any]], shared: Mapping[str, Any], faults: Faults) -> set[Path]:
    """Judge every placeholder; the paths of texts that have none of their parameters."""
    judge = _Judge(shared, faults)
    for item in items:
        if item.axes is not None:
            judge.item(item)
    return judge.lost


class _Judge:
    """Judges placeholders."""

    def __init__(self, shared: Mapping[str, Any], faults: Faults) -> None:
        self.shared = shared
        self.faults = faults
        self.lost: set[Path] = set()

    def item(self, item: Item[Any]) -> None:
        """All texts of one item."""
        strict_keys = STRICT[type(item.shape)]
        given = item.shape.model_fields_set - item.broken
        for key in (*strict_keys, *LOOSE[type(item.shape)]):
            value = getattr(item.shape, key) if key in given else None
            if value:
                strict = key in strict_keys
                for path, text in _texts(value, (*item.path, key)):
                    self.text(item, path, text, strict=strict)

    def text(self, item: Item[Any], path: Path, text: str, *, strict: bool) -> None:
        """All placeholders of one text."""
        assert item.axes is not None
        known = item.axes.values
        for match in PLACEHOLDER.finditer(text):
            name, spec = match[1], match[2]
            if name in known:
                self.format(known[name], name, spec, path)
            elif strict:
                self.lost.add(path)
                message = f"{{{name}}} is not a parameter here"
                self.faults.error(path, message, self.remedy(name, known, path))
            elif name in self.shared or nearest(name, known):
                message = f"{{{name}}} is not a parameter here, so it stays as it is"
                self.faults.warn(path, message, self.remedy(name, known, path))
        for match in SHELL_VARIABLE.finditer(text):
            if match[1] in known:
                message = f"{match[0]} is the shell's variable, not the parameter {match[1]!r}"
                self.faults.warn(path, message, f"write {{{match[1]}}} for the parameter")

    def format(self, values: Sequence[Scalar], name: str, spec: str | None, path: Path) -> None:
        """Whether the format suits the values: one of each type is tried."""
        for value in _one_of_each_type(values) if spec else ():
            if formatted(value, spec) is None:
                message = f"the format {spec!r} does not suit {{{name}}}, which is {value!r}"
                hint = "numbers take d, 03d or .4f, fractions .4f, text and booleans none"
                self.faults.error(path, message, hint)
                return

    def remedy(self, name: str, known: Mapping[str, Any], path: Path) -> str:
        """How to make a parameter of it."""
        if name in self.shared:
            return f"add use_parameters: [{name}]"
        if known:
            return did_you_mean(name, known)
        return f"give {path[0]}[{path[1]}] `parameters`"


def _one_of_each_type(values: Sequence[Scalar]) -> Iterable[Scalar]:
    if isinstance(values, range):
        return values[:1]
    return {type(value): value for value in reversed(values)}.values()


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text with braces inside a value, with its path."""
    if isinstance(value, str):
        if "{" in value:
            yield path, value
    elif isinstance(value, list | dict):
        entries = enumerate(value) if isinstance(value, list) else value.items()
        for key, entry in entries:
            if not isinstance(entry, str) or "{" in entry:
                yield from _texts(entry, (*path, key))
