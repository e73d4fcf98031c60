"""A small writer of SVG: rectangles, lines and texts, which is all that our pictures need.

Pure. Every text and attribute is escaped here and nowhere else, so a picture is always
well-formed, whatever a function or a job is called.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

FONT = "font-family='ui-monospace,Menlo,Consolas,monospace'"


def drawing(width: float, height: float, title: str, parts: list[str]) -> str:
    """A whole picture on a white ground, so that it is read on dark pages too."""
    size = f"viewBox='0 0 {width:g} {height:g}' width='{width:g}' height='{height:g}'"
    opening = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {FONT} font-size='12'>"
    named = f"<title>{escape(title)}</title>"
    return "\n".join((opening, named, rect(0, 0, width, height, "#fff"), *parts, "</svg>\n"))


def rect(x: float, y: float, width: float, height: float, fill: str, hint: str = "") -> str:
    """A filled rectangle; the hint is shown while the pointer is on it."""
    shape = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}'"
    inner = f"<title>{escape(hint)}</title>" if hint else ""
    return f"<rect {shape} fill={quoteattr(fill)}>{inner}</rect>"


def text(x: float, y: float, words: str, *, fill: str = "#222", anchor: str = "start") -> str:
    """One line of text."""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' fill={quoteattr(fill)} text-anchor={quoteattr(anchor)} "
        f"xml:space='preserve'>{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A thin line."""
    ends = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
    return f"<line {ends} stroke={quoteattr(colour)} stroke-width='1'/>"
