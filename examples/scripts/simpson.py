"""One integral by Simpson's rule; the bounds are JSON."""

import argparse
import json
import math

PARTS = 20_000

parser = argparse.ArgumentParser()
parser.add_argument("--function", required=True, help="an expression in x")
parser.add_argument("--bounds", type=json.loads, required=True, help='{"from": A, "to": B}')
options = parser.parse_args()

names = {name: getattr(math, name) for name in ("sin", "cos", "exp", "log", "sqrt")}
code = compile(options.function, "function", "eval")
low, high = options.bounds["from"], options.bounds["to"]
width = (high - low) / PARTS
total = 0.0
for i in range(PARTS + 1):
    weight = 1 if i in {0, PARTS} else 4 if i % 2 else 2
    total += weight * eval(code, {"__builtins__": {}}, names | {"x": low + i * width})
print(f"integral of {options.function} from {low} to {high}: {total * width / 3:.6f}")
