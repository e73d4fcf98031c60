"""`variables`: constants put into every text of the file before anything else is read.

Separate from parameters, because these make no copies and work on the raw tree. Where a file has
variables, a `{word}` that is neither a variable nor a parameter is taken for a typing error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.spec.placeholders import IDENTIFIER, PLACEHOLDER, formatted, names_in

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping

    from slurmtorc.spec.faults import Faults, Path

_PARAMETERIZED = ("jobs", "files", "user_data")


def applied(tree: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """The tree with its variables put in. The given tree stays as it is."""
    found = tree.get("variables")
    if not isinstance(found, dict) or not found:
        return tree
    parameters = set(_parameters(tree))
    variables = dict(_usable(found, parameters, faults))
    pass_ = _Pass(variables, parameters | set(found), faults)
    return {
        key: value if key == "variables" else pass_.filled(value, (key,), key)
        for key, value in tree.items()
    }


def _parameters(tree: dict[str, Any]) -> Iterator[str]:
    """The names of all parameters anywhere in the file."""
    sections = (tree.get(key) for key in _PARAMETERIZED)
    items = [item for section in sections if isinstance(section, list) for item in section]
    for holder in (tree, *items):
        named = holder.get("parameters") if isinstance(holder, dict) else None
        if isinstance(named, dict):
            yield from named


def _usable(
    found: dict[str, Any], parameters: set[str], faults: Faults
) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        path: Path = ("variables", name)
        inside = names_in(value) if isinstance(value, str) else []
        if not IDENTIFIER.fullmatch(name):
            faults.error(path, f"{name!r} is no name for a variable", "use letters, digits and _")
        elif name in parameters:
            faults.error(path, f"{name!r} is also the name of a parameter", "rename one of them")
        elif inside:
            hint = "write the value itself; shell variables as ${NAME} are allowed"
            faults.error(path, f"the value names {{{inside[0]}}}; variables do not nest", hint)
        elif isinstance(value, str):
            yield name, value


class _Pass:
    """One walk over the tree."""

    def __init__(self, variables: Mapping[str, str], known: set[str], faults: Faults) -> None:
        self.variables = variables
        self.known = known
        self.faults = faults

    def filled(self, value: Any, path: Path, key: str | int) -> Any:
        """A copy of the value with the variables put in."""
        if isinstance(value, str):
            return self.text(value, path) if "{" in value else value
        if isinstance(value, list) and key != "use_parameters":
            return [self.filled(item, (*path, i), i) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {name: self.filled(item, (*path, name), name) for name, item in value.items()}
        return value

    def text(self, text: str, path: Path) -> str:
        """One text with the variables put in."""
        for name in names_in(text):
            if name not in self.known and IDENTIFIER.fullmatch(name):
                message = f"{{{name}}} is neither a variable nor a parameter"
                self.faults.unknown(path, message, name, self.known)
        return PLACEHOLDER.sub(lambda match: self.value(match, path), text)

    def value(self, match: re.Match[str], path: Path) -> str:
        """What stands for one placeholder."""
        name, spec = match[1], match[2]
        if name not in self.variables:
            return match[0]
        found = formatted(self.variables[name], spec)
        if found is None:
            message = f"the format {spec!r} does not suit the text of {{{name}}}"
            self.faults.error(path, message, f"write {{{name}}}; a variable is always text")
        return match[0] if found is None else found
