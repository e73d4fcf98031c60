"""Two interleaved half-moons with noise: a data set for classifiers, split in two."""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path


def points(count: int, noise: float, dice: random.Random) -> list[tuple[float, float, int]]:
    """(x, y, label) of each point."""
    found = []
    for i in range(count):
        angle, label = math.pi * dice.random(), i % 2
        x, y = math.cos(angle), math.sin(angle)
        if label:
            x, y = 1 - x, 0.5 - y
        found.append((x + dice.gauss(0, noise), y + dice.gauss(0, noise), label))
    dice.shuffle(found)
    return found


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    drawn = points(options.count, options.noise, random.Random(options.seed))
    half = options.count // 2
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"train": drawn[:half], "test": drawn[half:]}))
    print(f"{half} points to learn from, {options.count - half} to test with")


if __name__ == "__main__":
    main()
