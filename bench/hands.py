"""Starting what is measured, and the small things that several benchmarks need."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plan import CACHE, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Measuring = Callable[[Path], Mapping[str, float]]
    Work = Callable[[], object]

PYTHON = (sys.executable, "-P")
TORC = (*PYTHON, "-m", "slurmtorc")
PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parent.parent
OURS = ("TORC_", "SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SINFO_", "XDG_", "PYTHONDONTWRITE")
"""Also what keeps a checkout's modules from being compiled once, as an installed program's are."""
LONGEST_S = 900.0
"""Nothing here takes longer; what does is stopped."""
QUIET = subprocess.DEVNULL


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command and all it started took."""

    seconds: float
    cpu: float
    peak_mb: float

    def of(self, jobs: int) -> dict[str, float]:
        """The same as measurements of so many jobs."""
        return {
            "seconds": self.seconds,
            "rate": jobs / self.seconds,
            "cpu_ms": 1000 * self.cpu / jobs,
            "peak_mb": self.peak_mb,
        }


def environ(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without the user's settings; what is measured is the same everywhere."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "HOME": str(home), "PYTHONPATH": path, **(extra or {})}


def run(
    command: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    longest: float = LONGEST_S,
    must_succeed: bool = True,
) -> Usage:
    """Run a command to its end; what it took. Raises Missing if it takes too long."""
    with tempfile.NamedTemporaryFile() as answer, tempfile.TemporaryFile() as said:
        usage = [sys.executable, "-I", "-S", str(Path(__file__).parent / "usage.py"), answer.name]
        process = subprocess.Popen(
            [*usage, *command], cwd=folder, env=environ(folder, env), stdin=QUIET, stdout=QUIET,
            stderr=said, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(longest)
        except BaseException as error:
            kill_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Missing(f"{command[0]} took longer than {longest:.0f} s") from None
            raise
        if process.returncode and must_succeed:
            said.seek(0)
            tail = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {tail}")
        return Usage(*map(float, Path(answer.name).read_text(encoding="ascii").split()))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and all of the group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def started(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A command in the background, silent, in a process group of its own."""
    return subprocess.Popen(
        command, cwd=folder, env=environ(folder, env), stdin=QUIET, stdout=QUIET, stderr=QUIET,
        start_new_session=True,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes], patience: float = 20.0) -> None:
    """Ask a process to end, and see to it that it does."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        kill_group(process)


def program(name: str) -> str:
    """The full path of a program. Raises Missing."""
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed")
    return found


def compiled(source: str) -> Path:
    """A C program of ours, compiled once. Raises Missing where there is no compiler."""
    code = PROGRAMS / source
    made = CACHE / code.stem
    if not made.exists() or made.stat().st_mtime < code.stat().st_mtime:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not compiler:
            raise Missing("there is no C compiler (cc)")
        CACHE.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", made, code], check=True)
    return made


def bare_python(folder: Path) -> dict[str, float]:
    """An interpreter that does nothing: the unit of start-up costs."""
    return run([*PYTHON, "-c", "pass"], folder).of(1)


def wait_until(condition: Callable[[], bool], longest: float = 60.0) -> None:
    """Look every few milliseconds until a condition holds. Raises Missing."""
    until = time.monotonic() + longest
    while not condition():
        if time.monotonic() > until:
            raise Missing(f"waited {longest:.0f} s in vain")
        time.sleep(0.01)
