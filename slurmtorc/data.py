"""Where the shipped templates are: inside the wheel first, in a checkout second.

`templates/` stands outside the package so that people find it; a wheel carries it as
`slurmtorc/_data/templates`, an editable install reads the checkout.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def templates() -> Path:
    """The folder of Jinja2 templates."""
    return _folder("templates")


def _folder(name: str) -> Path:
    shipped = _HERE / "_data" / name
    return shipped if shipped.is_dir() else _HERE.parent / name
