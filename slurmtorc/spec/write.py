"""A tree as text in any of the formats, so that reading it gives the same tree.

Each writer is ours where a library's would not round-trip: PyYAML quotes by the rules of YAML
1.1 and leaves `1e5` and `0o17` bare, which YAML 1.2 reads as numbers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.spec.yaml import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slurmtorc.spec.faults import Path

_BARE = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.+@%=-]*(?: [A-Za-z0-9_/.+@%=-]+)*", re.ASCII)
_WORDS_OF_YAML_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
_LONG_KEY = 500


def write(tree: Mapping[str, Any], form: str) -> str:
    """The text of a tree in a format: yaml, json, json5, toml or kdl. Raises InvalidValue."""
    return _WRITERS[form](tree)


def _yaml(tree: Any) -> str:
    return "\n".join(_yaml_lines(tree, "")) + "\n"


def _yaml_lines(value: Any, indent: str) -> Iterator[str]:
    """The lines of a map or a list that is not empty."""
    if isinstance(value, list):
        for entry in value:
            first, *rest = _yaml_entry(entry, indent + "  ")
            yield f"{indent}- {first.lstrip() if _nested(entry) else first}"
            yield from rest
        return
    for key, entry in value.items():
        name = _yaml_text(key)
        start = f"{indent}{name}:" if len(name) < _LONG_KEY else f"{indent}? {name}\n{indent}:"
        first, *rest = _yaml_entry(entry, indent + "  ")
        if _nested(entry):
            yield start
            yield first
        else:
            yield f"{start} {first}"
        yield from rest


def _yaml_entry(value: Any, indent: str) -> Iterator[str]:
    """The lines of a value; the first belongs behind its key or dash if it is not nested."""
    if _nested(value):
        yield from _yaml_lines(value, indent)
    elif isinstance(value, str) and _is_block(value):
        body = value.removesuffix("\n")
        yield "|" if value.endswith("\n") else "|-"
        yield from (f"{indent}{line}" if line else "" for line in body.split("\n"))
    else:
        yield _yaml_text(value) if isinstance(value, str) else json.dumps(value)


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _is_block(text: str) -> bool:
    """Whether a text is written as a block: several plain lines."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and not text[0].isspace()
        and not text.endswith("\n\n")
        and all(line.isprintable() and line == line.rstrip() for line in lines)
    )


def _yaml_text(text: str) -> str:
    if _BARE.fullmatch(text) and scalar(text) == text and text.lower() not in _WORDS_OF_YAML_1_1:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _json(tree: Any) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _toml(tree: Any) -> str:
    import tomli_w  # noqa: PLC0415  only for TOML

    null = next(_nulls(tree, ()), None)
    if null is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in null)[1:]
        raise InvalidValue(f"TOML has no null, and {place} is null", allowed="write another format")
    return tomli_w.dumps(tree)


def _nulls(value: Any, path: Path) -> Iterator[Path]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _nulls(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _nulls(entry, (*path, index))


def _kdl(tree: Any) -> str:
    from slurmtorc.spec.kdlwrite import write_kdl  # noqa: PLC0415  only for KDL

    return write_kdl(tree)


_WRITERS = {"yaml": _yaml, "json": _json, "json5": _json, "toml": _toml, "kdl": _kdl}
FORMATS = tuple(_WRITERS)
