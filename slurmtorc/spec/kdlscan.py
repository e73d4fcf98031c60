"""Where the nodes of a KDL text are: its parser tells no places.

Runs only over files with faults. Nodes are found by the punctuation around them, in the order
in which the parser gives them; nodes commented out by `/-` are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurmtorc.spec.faults import place_of, places_of
from slurmtorc.spec.sound import MAX_DEPTH

_TOKEN = re.compile(
    r'''
      (?P<skip> [^\S\r\n\x0b\x0c\x85\u2028\u2029]+ | //[^\n]* | \\\s*(?://[^\n]*)?\n )
    | (?P<comment> /\*(?:[^*/]|\*(?!/)|/(?!\*))* )
    | (?P<end> [\r\n\x0b\x0c\x85\u2028\u2029;]+ )
    | (?P<hide> /- )
    | (?P<open> \{ ) | (?P<close> \} )
    | (?P<entry> r?(?P<raw>\#+)(?P<quotes>"""|").*?(?P=quotes)(?P=raw) | r"[^"]*"
              | """(?:[^"\\]|\\.|"{1,2}(?!"))*""" | "[^"\\]*(?:\\.[^"\\]*)*"
              | [^\s{};"\\/]+ | . )
    ''',
    re.VERBOSE | re.DOTALL,
)
_BUDGET = 5_000_000
"""How many characters may be parsed again in search of what is wrong."""
_COMMENT_PART = re.compile(r"/\*|\*/")


@dataclass(slots=True)
class _Node:
    start: int
    depth: int
    hidden: bool
    end: int = -1


class _Scanner:
    """Follows nodes and their blocks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes: list[_Node] = []
        self.current: _Node | None = None
        self.blocks: list[tuple[_Node | None, bool]] = []
        """Of each open block, the node it belongs to and whether it is hidden."""
        self.hide = False

    def scan(self) -> list[_Node]:
        """Every node, in file order."""
        at = 0
        handlers = {
            "end": self.end, "hide": self.hidden, "open": self.open, "close": self.close,
            "entry": self.entry,
        }  # fmt: skip
        while match := _TOKEN.match(self.text, at):
            at = match.end()
            if match.lastgroup == "comment":
                at = self.after_comment(match.start())
            elif match.lastgroup in handlers:
                handlers[match.lastgroup](match.start())
        while self.blocks or self.current:
            self.close(len(self.text))
        return self.nodes

    def end(self, at: int) -> None:
        """A node ends."""
        if self.current is not None:
            self.current.end = at
            self.current, self.hide = None, False

    def hidden(self, at: int) -> None:
        """`/-`: what comes next counts as a comment."""
        if self.current is None:
            self.hide = True
            self.entry(at)
        self.hide = self.current is not None and not self.current.hidden

    def open(self, _at: int) -> None:
        """A block of nodes begins."""
        around = self.blocks[-1][1] if self.blocks else False
        mine = self.current is not None and self.current.hidden
        self.blocks.append((self.current, around or mine or self.hide))
        self.current, self.hide = None, False

    def close(self, at: int) -> None:
        """A block ends, and the node in it that was not ended."""
        self.end(at)
        if self.blocks:
            self.current = self.blocks.pop()[0]

    def entry(self, at: int) -> None:
        """A node begins, or goes on with an argument."""
        if self.current is None:
            hidden = self.hide or (self.blocks[-1][1] if self.blocks else False)
            self.current = _Node(at, len(self.blocks), hidden)
            self.nodes.append(self.current)
        self.hide = False

    def after_comment(self, at: int) -> int:
        """Past a comment, which may hold others."""
        depth = 0
        for part in _COMMENT_PART.finditer(self.text, at):
            depth += 1 if part[0] == "/*" else -1
            if not depth:
                return part.end()
        return len(self.text)


def node_places(text: str) -> list[tuple[int, int]]:
    """Line and column of every node that counts, in file order."""
    offsets = [node.start for node in _Scanner(text).scan() if not node.hidden]
    return list(places_of(text, {(index,): at for index, at in enumerate(offsets)}).values())


def culprit(text: str) -> tuple[int, int] | None:
    """Line and column of the innermost node that is no KDL by itself."""
    nodes = _Scanner(text).scan()
    found, begin, end, budget = None, 0, len(text) + 1, _BUDGET
    for depth in range(MAX_DEPTH):
        inside = [node for node in nodes if node.depth == depth and begin <= node.start < end]
        budget -= end - begin + len(nodes)
        bad = next((node for node in inside if _fails(text[node.start : node.end])), None)
        if bad is None or budget < 0:
            break
        found, begin, end = bad.start, bad.start + 1, bad.end
    return None if found is None else place_of(text, found)


def _fails(text: str) -> bool:
    import ckdl  # noqa: PLC0415  an extra; loaded only for KDL

    try:
        ckdl.parse(text)
    except (ckdl.ParseError, UnicodeDecodeError):
        return True
    return False
