"""Coldest, mean and warmest of each day."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Write one line for each day."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    days: dict[int, list[float]] = defaultdict(list)
    for line in options.valid.read_text().splitlines():
        hour, value = line.split(",")
        days[int(hour) // 24].append(float(value))
    rows = [
        f"{day},{min(found):.1f},{sum(found) / len(found):.2f},{max(found):.1f}"
        for day, found in sorted(days.items())
    ]
    options.output.write_text("\n".join(rows) + "\n")
    print(f"{len(rows)} days")


if __name__ == "__main__":
    main()
