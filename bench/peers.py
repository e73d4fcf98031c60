"""Others that run many jobs, from the package index, on the same jobs as we do.

They live in a virtual environment of their own below the bench's cache, installed when they are
first asked for; each listens to loopback alone and is gone when its jobs are. What cannot be
installed here is said in one line and left out.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from bench import hands
from bench.plan import CACHE, Missing

if TYPE_CHECKING:
    from pathlib import Path

PEERS = {"hyperqueue": "hyperqueue", "parsl": "parsl", "dask": "distributed"}
"""Name and package. The program that runs it is programs/peer_NAME.py."""
LONGEST_S = 240.0
INSTALLING_S = 300


def peer(name: str, jobs: int, folder: Path) -> dict[str, float]:
    """So many jobs of `true`, two at a time, two files each. Raises Missing."""
    program = hands.PROGRAMS / f"peer_{name}.py"
    command = [str(installed(PEERS[name])), str(program), str(jobs), str(folder)]
    return hands.run(command, folder, longest=LONGEST_S).of(jobs)


@cache
def installed(package: str) -> Path:
    """The interpreter that has the package. Raises Missing."""
    home = CACHE / "peers"
    python = home / "bin" / "python"
    if not python.exists():
        CACHE.mkdir(exist_ok=True)
        _quietly([sys.executable, "-m", "venv", str(home)], "no virtual environment for peers")
    if subprocess.run(
        [python, "-c", f"import {package}"], check=False, capture_output=True
    ).returncode:
        _quietly([str(python), "-m", "pip", "install", "-q", package], f"cannot install {package}")
    return python


def _quietly(command: list[str], refusal: str) -> None:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=INSTALLING_S
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise Missing(f"{refusal}: {last[0]}")
