"""KDL 2: a document of nodes becomes the same tree that the other formats have.

KDL has no lists and no map values of its own, so this module knows how a workflow is spelled in
nodes: `job "a" { … }` is an entry of `jobs`, `depends_on "x" "y"` two entries of a list. What
authors meant counts: `input_file` and `input_files`, `depends_on_job`, every argument of a list.
Elsewhere a node with one argument is that value, with several a list, with children a map; the
type annotations (array) and (object) say which, where that would be unclear.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from slurmtorc.spec.faults import malformed, shown
from slurmtorc.spec.kdlwords import MAPS, TOP, Section
from slurmtorc.spec.sound import MAX_DEPTH, NOT_A_MAP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from slurmtorc.errors import SpecError
    from slurmtorc.spec.faults import Path


_BIG = 1_000_000
_FIRST_NODE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*(?P<name>[^\s{};=()\"/]*)", re.DOTALL)


def parse(text: str, source: str) -> Any:
    """The tree of a KDL document; None if it holds nothing."""
    if len(text) > _BIG and not _begins_like_a_workflow(text):
        raise malformed(source, NOT_A_MAP[0], hint=NOT_A_MAP[1])
    reader = _Reader(text, source)
    return reader.section(_nodes(text, source), TOP, ()) or None


def locate(text: str, wanted: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Line and column of the nodes that hold the wanted paths."""
    from slurmtorc.spec.kdlscan import node_places  # noqa: PLC0415  only for files with faults

    reader = _Reader(text, "")
    reader.section(_nodes(text, ""), TOP, ())
    places = node_places(text)
    if len(places) != reader.count:
        return {}
    return {path: places[reader.nodes[path]] for path in wanted if path in reader.nodes}


def _begins_like_a_workflow(text: str) -> bool:
    first = _FIRST_NODE.match(text)
    name = first["name"] if first else ""
    return not name or name in TOP.items or name in TOP.kind.model_fields


def _nodes(text: str, source: str) -> Sequence[Any]:
    try:
        import ckdl  # noqa: PLC0415  an extra; loaded only for KDL
    except ImportError:
        hint = "install it: pip install 'slurmtorc[kdl]'"
        raise malformed(source, "KDL files need the package ckdl", hint=hint) from None
    try:
        nodes: Sequence[Any] = ckdl.parse(text).nodes
    except (ckdl.ParseError, UnicodeDecodeError) as error:
        from slurmtorc.spec.kdlscan import culprit  # noqa: PLC0415

        said = str(error) if isinstance(error, ckdl.ParseError) else "a character is not Unicode"
        place = culprit(text) if len(text) < _BIG else None
        raise malformed(source, f"not KDL: {said[:1].lower()}{said[1:]}", place) from None
    return nodes


class _Reader:
    """Nodes -> tree. Visits every node once, in file order, and counts."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.count = 0
        self.nodes: dict[Path, int] = {}
        """Path -> which node of the file, counted from 0."""

    def section(self, nodes: Sequence[Any], section: Section, path: Path) -> dict[str, Any]:
        """A map from nodes whose meaning the section knows."""
        found: dict[str, Any] = {}
        for node in nodes:
            if node.name in section.items:
                self.item(node, section, path, found)
            elif node.name in section.lists:
                self.entries(node, section.lists[node.name], path, found)
            elif node.name in section.kind.model_fields:
                self.field(node, path, found)
            else:
                found.setdefault(node.name, None)
                self.pass_over(node, (*path, node.name))
        return found

    def item(self, node: Any, section: Section, path: Path, found: dict[str, Any]) -> None:
        """`job "name" { … }`: one more entry of a list of maps."""
        key, inner = section.items[node.name]
        listed = found.setdefault(key, [])
        place = (*path, key, len(listed))
        self.visit(place, (*path, key))
        if len(node.args) > inner.named:
            raise self.error(f"`{node.name}` takes {'one name' if inner.named else 'no argument'}")
        named = [("name", value) for value in node.args]
        entry = {key: _plain(value) for key, value in (*named, *node.properties.items())}
        self.visit_again(place, entry)
        below = self.section(node.children, inner, place)
        if entry.keys() & below.keys():
            name = min(entry.keys() & below.keys())
            raise self.error(f"the key {name!r} is given twice", (*place, name))
        entry |= below
        if key == "user_data" and isinstance(entry.get("data"), str):
            entry["data"] = self.json(entry["data"], (*place, "data"))
        listed.append(entry)

    def entries(self, node: Any, key: str, path: Path, found: dict[str, Any]) -> None:
        """`depends_on "a" "b"`: entries of a list, which may go on in another node."""
        listed = found.setdefault(key, [])
        first = len(listed)
        self.visit((*path, key, first), (*path, key))
        if node.properties or node.children:
            raise self.error(f"`{node.name}` takes only arguments", (*path, key))
        listed += map(_plain, node.args)
        self.visit_again((*path, key), range(first, len(listed)))

    def field(self, node: Any, path: Path, found: dict[str, Any]) -> None:
        """Any other node: one key and its value."""
        place = (*path, node.name)
        if node.name in found:
            first = self.nodes[place]
            self.visit(place)
            line = self.place(first)
            lines = f", first on line {line[0]}" if line else ""
            raise self.error(f"the key {node.name!r} is given twice{lines}", place)
        self.visit(place)
        found[node.name] = self.value(node, place)

    def value(self, node: Any, path: Path) -> Any:
        """What a node holds: one value, a list or a map."""
        if len(path) > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels")
        if node.type_annotation == "object":
            return self.map(node, path)
        dashes = [child for child in node.children if child.name == "-"]
        mixed = node.args and (node.properties or node.children)
        if mixed or 0 < len(dashes) < len(node.children):
            raise self.error(f"`{node.name}` holds both a list and a map", path)
        if node.type_annotation == "array" or dashes or len(node.args) > 1:
            return [*map(_plain, node.args), *self.dashes(dashes, path)]
        if node.args:
            return _plain(node.args[0])
        return self.map(node, path)

    def dashes(self, nodes: list[Any], path: Path) -> list[Any]:
        """The entries of a list written as nodes named `-`."""
        found = []
        for index, node in enumerate(nodes):
            self.visit((*path, index))
            found.append(self.value(node, (*path, index)))
        return found

    def map(self, node: Any, path: Path) -> dict[str, Any]:
        """A map from properties and child nodes."""
        is_map = node.properties or node.children or node.type_annotation == "object"
        if not is_map and node.name not in MAPS:
            raise self.error(f"`{node.name}` has no value", path, hint="write one behind it")
        found = {name: _plain(value) for name, value in node.properties.items()}
        self.visit_again(path, found)
        for child in node.children:
            self.field(child, path, found)
        return found

    def pass_over(self, node: Any, path: Path) -> None:
        """Count a node that the section does not know, and all in it."""
        self.visit(path)
        inside = list(node.children)
        while inside:
            self.count += 1
            inside += inside.pop().children

    def json(self, text: str, path: Path) -> Any:
        """The value of `data`, which KDL holds as text."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            hint = 'write it as JSON text; text itself needs quotes inside, as in #""a""#'
            raise self.error(f"{shown(text)} is not JSON", path, hint=hint) from None

    def visit(self, *paths: Path) -> None:
        """Count one node, which holds these paths."""
        for path in paths:
            self.nodes.setdefault(path, self.count)
        self.count += 1

    def visit_again(self, path: Path, keys: Iterable[str | int]) -> None:
        """These entries are in the node that was counted last."""
        for key in keys:
            self.nodes.setdefault((*path, key), self.count - 1)

    def place(self, node: int) -> tuple[int, int] | None:
        """Line and column of a node."""
        from slurmtorc.spec.kdlscan import node_places  # noqa: PLC0415  only for faults

        places = node_places(self.text)
        return places[node] if node < len(places) else None

    def error(self, message: str, path: Path = (), *, hint: str = "") -> SpecError:
        """The error at the node that was counted last."""
        place = self.place(self.count - 1)
        return malformed(self.source, message, place, path=path, hint=hint)


def _plain(value: Any) -> Any:
    """An argument without its type annotation."""
    return getattr(value, "value", value)
