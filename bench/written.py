"""What stays of a run: a JSON file and a picture in results/, and the baseline when it is saved."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import as_json, from_json
from bench.picture import picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.figures import Figure

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
BASELINE = FOLDER / "baseline.json"


def machine() -> dict[str, Any]:
    """Where it was measured, as far as it matters to a reader."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def keep(
    figures: Sequence[Figure], remarks: Mapping[str, Sequence[str]], scale: float, folder: Path
) -> Path:
    """Write a run down; the JSON file, beside which the picture is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    _write(path, figures, {"scale": scale, "remarks": remarks})
    title = f"torc, {time.strftime('%Y-%m-%d')}: how far each target is reached (1 = reached)"
    path.with_suffix(".svg").write_text(picture(figures, title), encoding="utf-8")
    return path


def save_baseline(figures: Sequence[Figure], path: Path = BASELINE) -> None:
    """These figures are what later runs compare with; figures of other benchmarks stay."""
    measured = {figure.benchmark for figure in figures}
    stay = [old for old in baseline(path).values() if old.benchmark not in measured]
    _write(path, [*stay, *figures], {})


def baseline(path: Path = BASELINE) -> dict[str, Figure]:
    """What was saved last, by key; empty if nothing was."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return {figure.key: figure for figure in map(from_json, found)}


def _write(path: Path, figures: Sequence[Figure], more: Mapping[str, Any]) -> None:
    data = {"machine": machine(), **more, "figures": [as_json(figure) for figure in figures]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
