"""A benchmark: who is measured, in which rounds, and the lines that are made of it.

The contenders of a benchmark are ourselves and the references. Each is a function that does its
work once in an empty folder and says what it took; rounds take them in turn, because these
machines are noisy. A contender that cannot be had here raises Missing: its lines are left out
and the reason is told, never replaced by silence.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.postgres import NoPostgres, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.figures import Round, Row

    Contender = Callable[[Path], Mapping[str, float]]
    """Does its work once, in a folder of its own, and says what it took."""

CACHE = Path(__file__).parent / ".cache"


class Missing(Exception):
    """What a contender or a benchmark needs is not here; the message is for people."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one benchmark measures."""

    contenders: Mapping[str, Contender]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()
    """What a reader must know, such as that there is no compiler."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of the table."""

    name: str
    about: str
    prepare: Callable[[Place], Plan]
    rounds: int = 3
    heavy: bool = False
    """Runs only by name or with --all: minutes, or gigabytes."""

    @property
    def theme(self) -> str:
        """The file it is in."""
        prepare = getattr(self.prepare, "func", self.prepare)
        return str(prepare.__module__).rpartition(".")[2]


@dataclass
class Place:
    """Where a benchmark works: a folder that goes away, and how much of it is wanted."""

    folder: Path
    scale: float = 1.0
    peers: bool = False
    exits: ExitStack = field(default_factory=ExitStack)
    servers: list[Server] = field(default_factory=list)
    """The run's Postgres server, once somebody has asked for it."""

    def many(self, full: int, least: int = 2, power: float = 1.0) -> int:
        """So many at full scale, and fewer in a small run."""
        return max(min(least, full), int(full * float(self.scale**power)))

    def seconds(self, full: float) -> float:
        """So long at full scale; never less than a tenth of a second."""
        return max(0.1, full * self.scale)

    def url(self, database: str, folder: Path) -> str:
        """A store that does not exist yet. Raises Missing."""
        if database == "sqlite":
            return f"sqlite:///{folder}/torc.db"
        return self.server().create()

    def server(self) -> Server:
        """A Postgres server of our own, the same for the whole run. Raises Missing."""
        if not self.servers:
            try:
                self.servers.append(Server())
            except NoPostgres as error:
                raise Missing(str(error)) from None
            self.servers[0].start()
        return self.servers[0]


@contextmanager
def run_place(*, scale: float = 1.0, peers: bool = False) -> Iterator[Callable[[], Place]]:
    """Makes places for benchmarks; what they share ends with the run."""
    servers: list[Server] = []
    with ExitStack() as exits, tempfile.TemporaryDirectory(prefix="torc-bench-") as folder:
        exits.callback(_remove, servers)

        def make() -> Place:
            own = Path(tempfile.mkdtemp(dir=folder))
            return Place(own, scale=scale, peers=peers, servers=servers)

        yield make


def _remove(servers: Sequence[Server]) -> None:
    for server in servers:
        server.remove()


def measured(plan: Plan, folder: Path, rounds: int) -> tuple[list[Round], dict[str, str]]:
    """All rounds, contenders in turn; and which contenders are missing, with the reason.

    What they leave in `folder` stays until the end of the run: for minutes after 20,000 files were
    removed ext4 takes ten times as long to make new ones, and the next contender would pay for it.
    """
    missing: dict[str, str] = {}
    done: list[Round] = []
    for _ in range(rounds):
        took: dict[str, Mapping[str, float]] = {}
        for name in [name for name in plan.contenders if name not in missing]:
            own = Path(tempfile.mkdtemp(dir=folder))
            try:
                took[name] = plan.contenders[name](own)
            except Missing as error:
                missing[name] = str(error)
        done.append(took)
    return done, missing
