"""Heat in a rod, by explicit time steps. Too long a step is unstable: exit code 10.

Two of the sweep's jobs also meet, in their first attempt, what can go wrong outside a program:
a full scratch folder (11) and a server that is busy (12).
"""

import argparse
import json
import sys
from pathlib import Path

from settings import ATTEMPT, BUSY, DIVERGED, SCRATCH_FULL, scale, scratch

CONDUCTIVITY = (0.5, 1.0, 2.0)
CELLS = (20, 30, 40)
LONGEST_STEP = 0.0025
END = 0.2

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=int, required=True)
parser.add_argument("--scenario", type=int, required=True)
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()
case = (arguments.model, arguments.scenario)

if case == (0, 2) and ATTEMPT == 1:
    scratch().mkdir(parents=True, exist_ok=True)
if scratch().exists():
    print(f"{scratch()} is full", file=sys.stderr)
    sys.exit(SCRATCH_FULL)
if case == (1, 0) and ATTEMPT == 1:
    print("the server is busy", file=sys.stderr)
    sys.exit(BUSY)

cells = CELLS[arguments.scenario]
step = LONGEST_STEP * scale()
ratio = CONDUCTIVITY[arguments.model] * step * cells**2
rod = [1.0 if i < cells // 2 else 0.0 for i in range(cells + 1)]
rod[0] = 0.0
for number in range(round(END / step)):
    inner = (
        here + ratio * (left - 2 * here + right) for left, here, right in zip(rod, rod[1:], rod[2:])
    )
    rod = [0.0, *inner, 0.0]
    if max(map(abs, rod)) > 2:
        print(f"unstable at step {number}: ratio {ratio:.2f} is above 0.5", file=sys.stderr)
        sys.exit(DIVERGED)

arguments.output.parent.mkdir(parents=True, exist_ok=True)
found = {
    "model": arguments.model,
    "scenario": arguments.scenario,
    "time step": step,
    "mean temperature": round(sum(rod) / cells, 5),
    "attempts": ATTEMPT,
}
arguments.output.write_text(json.dumps(found))
print(f"mean temperature {found['mean temperature']} with time step {step}")
