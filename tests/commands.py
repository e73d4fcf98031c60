"""What tests of actions share: actions that run commands, and a launcher that a test plays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.model import ActionType, DraftAction
from slurmtorc.ports import Exit
from slurmtorc.worker.actions import is_action

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.clock import ManualClock
    from slurmtorc.model import TriggerType
    from slurmtorc.ports import Order


def running(trigger: TriggerType, *commands: str, **values: Any) -> DraftAction:
    persistent = values.pop("persistent", "worker" in trigger)
    return DraftAction(
        trigger_type=trigger,
        action_type=ActionType.RUN_COMMANDS,
        commands=commands,
        persistent=persistent,
        **values,
    )


class Commands:
    """Processes end when the test says so; by the first word of a command, or a job's name."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.alive: dict[int, Order] = {}
        self.orders: list[Order] = []
        self.signals: list[tuple[str, str]] = []
        self._ended: list[Exit] = []

    def start(self, order: Order) -> None:
        self.alive[order.key] = order
        self.orders.append(order)

    def name(self, order: Order) -> str:
        return order.command if is_action(order.key) else order.env["TORC_JOB_NAME"]

    def names(self) -> list[str]:
        return sorted(map(self.name, self.alive.values()))

    def end(self, name: str, code: int | None = 0, signal: int | None = None) -> None:
        (key,) = [key for key, order in self.alive.items() if self.name(order) == name]
        del self.alive[key]
        now = self.clock.now()
        self._ended.append(Exit(key=key, code=code, signal=signal, start_time=now, end_time=now))

    def poll(self) -> list[Exit]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self, key: int, *, hard: bool) -> None:
        if key in self.alive:
            name = self.name(self.alive[key])
            self.signals.append((name, "KILL" if hard else "TERM"))
            if hard:
                self.end(name, None, 9)

    def wait(self, seconds: float, bell: int | None = None) -> bool:  # noqa: ARG002  nobody rings
        self.clock.sleep(seconds)
        return bool(self._ended)

    def running(self) -> Collection[int]:
        return [*self.alive, *(exit_.key for exit_ in self._ended)]
