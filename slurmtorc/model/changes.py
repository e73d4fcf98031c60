"""What people change in a workflow that is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """What is to become of a job; None leaves a field as it is."""

    name: str | None = None
    command: str | None = None
    invocation_script: str | None = None
    """Empty: none any more."""
    env: Mapping[str, str] | None = None
    """All of it, in the place of what there is."""
    depends_on: tuple[int, ...] | None = None
    """All jobs it is to wait for; what files and user data imply is added when a run begins."""
    priority: int | None = None
    resource_requirements_id: int | None = None
    scheduler_id: int | None = None

    @property
    def given(self) -> Mapping[str, Any]:
        """What is to be changed."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None}
