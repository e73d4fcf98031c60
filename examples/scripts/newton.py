"""The root of arctan(x - 1) by Newton's method, whose step may be shortened.

Far from the root the full step overshoots further each time: exit code 10.
"""

import argparse
import json
import math
import sys
from pathlib import Path

from settings import ATTEMPT, DIVERGED, scale

parser = argparse.ArgumentParser()
parser.add_argument("--starts", type=Path, required=True)
parser.add_argument("--start", required=True)
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()

x = json.loads(arguments.starts.read_text())[arguments.start]
step = scale()
iterations = 0
while abs(change := math.atan(x - 1) * (1 + (x - 1) ** 2)) > 1e-10:
    x -= step * change
    iterations += 1
    if abs(x) > 1e6:
        print(f"diverged after {iterations} iterations with step {step}", file=sys.stderr)
        sys.exit(DIVERGED)

arguments.output.parent.mkdir(parents=True, exist_ok=True)
found = {"start": arguments.start, "root": round(x, 6), "step": step, "iterations": iterations}
arguments.output.write_text(json.dumps({**found, "attempts": ATTEMPT}))
print(f"root {x:.6f} after {iterations} iterations with step {step}")
