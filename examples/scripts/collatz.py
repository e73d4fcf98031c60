"""The longest Collatz sequence among every nth number."""

import argparse
from pathlib import Path

LIMIT = 400_000

parser = argparse.ArgumentParser()
parser.add_argument("--part", type=int, required=True)
parser.add_argument("--parts", type=int, required=True)
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()

steps = {1: 0}


def length(number: int) -> int:
    """How many steps it takes to one."""
    path = []
    while number not in steps:
        path.append(number)
        number = 3 * number + 1 if number % 2 else number // 2
    found = steps[number]
    for each in reversed(path):
        found += 1
        if each < LIMIT:
            steps[each] = found
    return found


best = max(range(1 + options.part, LIMIT, options.parts), key=length)
options.output.parent.mkdir(parents=True, exist_ok=True)
options.output.write_text(f"{length(best)} {best}\n")
