"""Which copies each item of a sheet makes: its own parameters, or those of the workflow it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.spec.parameters import LIMIT, MAX_COPIES, Axes, axes, values
from slurmtorc.spec.placeholders import PARAMETER_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slurmtorc.spec.faults import Faults, Path
    from slurmtorc.spec.items import Item, Sheet
    from slurmtorc.spec.placeholders import Scalar

_PARAMETER_KEYS = frozenset({"parameters", "parameter_mode", "use_parameters"})


def find_copies(sheet: Sheet, faults: Faults) -> None:
    """Give the items of a sheet their axes, and the sheet the values of its parameters."""
    _Expander(sheet, faults).expand()


class _Expander:
    """Gives the items of a sheet their axes."""

    def __init__(self, sheet: Sheet, faults: Faults) -> None:
        self.sheet = sheet
        self.faults = faults
        self.shared = sheet.shared

    def expand(self) -> None:
        """All items that can have parameters."""
        sheet = self.sheet
        shared = sheet.head.parameters or {}
        for name, raw in shared.items():
            self.shared[name] = self.values(name, raw, ("parameters", name))
        items: Sequence[Item[Any]] = [*sheet.jobs, *sheet.files, *sheet.user_data]
        total = 0
        for item in items:
            if item.broken & _PARAMETER_KEYS:
                item.axes = None
            elif item.shape.parameters is not None or item.shape.use_parameters:
                item.axes = self.axes(item)
            total += item.count
        if total > MAX_COPIES:
            self.faults.error((), f"the workflow has {total:,} jobs, files and user data", LIMIT)
            for item in items:
                item.axes = None

    def axes(self, item: Item[Any]) -> Axes | None:
        """The axes of one item; None if they have faults."""
        found = self.own(item) if item.shape.parameters is not None else self.used(item)
        if found is None:
            return None
        try:
            return axes(found, zipped=item.shape.parameter_mode == "zip")
        except InvalidValue as error:
            self.faults.error((*item.path, "parameters"), error.problem, error.allowed)
            return None

    def own(self, item: Item[Any]) -> dict[str, Sequence[Scalar]] | None:
        """The values of an item's own parameters."""
        if item.shape.use_parameters:
            path = (*item.path, "use_parameters")
            self.faults.warn(path, "not used, because the item has `parameters` of its own")
        path = (*item.path, "parameters")
        raw = item.shape.parameters.items()
        return _complete({name: self.values(name, value, (*path, name)) for name, value in raw})

    def used(self, item: Item[Any]) -> dict[str, Sequence[Scalar]] | None:
        """The values of the workflow's parameters that an item uses, in order of declaration."""
        wanted = item.shape.use_parameters
        unknown = [name for name in wanted if name not in self.shared]
        for name in unknown:
            if "parameters" not in self.sheet.unread:
                path = (*item.path, "use_parameters", wanted.index(name))
                message = f"the workflow has no parameter {name!r}"
                self.faults.unknown(path, message, name, self.shared)
        if unknown:
            return None
        return _complete({name: self.shared[name] for name in self.shared if name in wanted})

    def values(self, name: str, raw: Any, path: Path) -> Sequence[Scalar] | None:
        """The values of one parameter; None if they have faults."""
        if not PARAMETER_NAME.fullmatch(name):
            hint = "begin with a letter or _; use letters, digits and _.-"
            self.faults.error(path, f"{name!r} is no name for a parameter", hint)
            return None
        try:
            return values(raw)
        except InvalidValue as error:
            self.faults.error(path, error.problem, error.allowed)
            return None


def _complete(found: dict[str, Sequence[Scalar] | None]) -> dict[str, Sequence[Scalar]] | None:
    known = {name: values for name, values in found.items() if values is not None}
    return known if len(known) == len(found) else None
