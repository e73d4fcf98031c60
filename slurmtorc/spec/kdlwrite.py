"""A tree as KDL 2, in the nodes that kdl.py reads."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from slurmtorc.spec.kdlwords import MAPS, TOP, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_LONG_NUMBER = 25
_WORDS = {None: "#null", True: "#true", False: "#false"}
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def write_kdl(tree: Any) -> str:
    """The text of a whole workflow."""
    return "\n".join(_fields(tree, TOP, "")) + "\n"


def _fields(tree: dict[str, Any], section: Section, indent: str) -> Iterator[str]:
    """The nodes of a map whose keys the section knows."""
    items = {key: (node, inner) for node, (key, inner) in section.items.items()}
    lists = {key: node for node, key in reversed([*section.lists.items()])}
    for key, value in tree.items():
        if key in items and isinstance(value, list):
            node, inner = items[key]
            for entry in value:
                yield from _item(node, entry, inner, indent)
        elif key in lists and isinstance(value, list):
            yield indent + " ".join([lists[key], *map(_value, value)])
        elif key == "data":
            yield f"{indent}data {_value(json.dumps(value, ensure_ascii=False))}"
        else:
            yield from _node(key, value, indent)


def _item(node: str, entry: dict[str, Any], section: Section, indent: str) -> Iterator[str]:
    """`job "name" { … }`."""
    name = f" {_value(entry['name'])}" if section.named and "name" in entry else ""
    rest = {key: value for key, value in entry.items() if not (name and key == "name")}
    yield f"{indent}{node}{name} {{"
    yield from _fields(rest, section, indent + "    ")
    yield f"{indent}}}"


def _node(key: str, value: Any, indent: str) -> Iterator[str]:
    """A key and its value, whatever it is."""
    name = _name(key)
    if isinstance(value, dict):
        unclear = "-" in value or not (value or key in MAPS)
        annotation = "(object)" if unclear else ""
        yield f"{indent}{annotation}{name} {{"
        for inner, entry in value.items():
            yield from _node(inner, entry, indent + "    ")
        yield f"{indent}}}"
    elif isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        yield f"{indent}(array){name} {{"
        for entry in value:
            yield from _node("-", entry, indent + "    ")
        yield f"{indent}}}"
    elif isinstance(value, list):
        yield indent + " ".join([f"(array){name}", *map(_value, value)])
    else:
        yield f"{indent}{name} {_value(value)}"


def _name(key: str) -> str:
    plain = _BARE.fullmatch(key) and key not in {"true", "false", "null", "inf", "nan"}
    return key if plain or key == "-" else _text(key)


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else str(value)


def _number(value: float) -> str:
    """A fraction as the parser reads it exactly: it rounds short numbers with large exponents."""
    text = format(Decimal(repr(value)), "f")
    if len(text) > _LONG_NUMBER:
        return f"{value:.17e}"
    return text if "." in text else f"{text}.0"


def _text(text: str) -> str:
    """Text in quotes; as it is, between hashes, where escapes would make it hard to read."""
    hashes = "#" * (1 + max(map(len, re.findall(r'"(#*)', text)), default=0))
    if ("\\" in text or '"' in text) and text.isprintable() and not text.startswith('"'):
        return f'{hashes}"{text}"{hashes}'
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    escaped = _ESCAPED.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", escaped)
    return f'"{escaped}"'
