"""A file the user wrote -> every fault in it, or a model.Draft.

    read      a file -> Source: text and one plain tree, whatever the format
    check     Source -> Checked: all faults, and the Draft if none is an error
    load      both, raising SpecError
    placed    faults that others found -> the same with their lines and columns
    schema    the JSON Schema of the file
    expand    Source -> the tree without parameters, variables, patterns and templates
    write     a tree -> text in any format

Nothing in a file can run code, or make this package read another file.
"""

from __future__ import annotations

from slurmtorc.spec.check import Checked, check, load, placed
from slurmtorc.spec.expand import expand
from slurmtorc.spec.source import Source, read
from slurmtorc.spec.top import schema
from slurmtorc.spec.write import write

__all__ = ["Checked", "Source", "check", "expand", "load", "placed", "read", "schema", "write"]
