"""The year at every station: mean, days with frost, days of summer."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMER = 25.0


def row(path: Path) -> str:
    """One station's line of the table."""
    days = [[float(word) for word in line.split(",")] for line in path.read_text().splitlines()]
    mean = sum(day[2] for day in days) / len(days)
    frost = sum(day[1] < 0 for day in days)
    summer = sum(day[3] >= SUMMER for day in days)
    return f"| {path.stem} | {mean:.1f} | {frost} | {summer} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--daily", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    lines = ["| station | mean (C) | days with frost | days of summer |", "|---|---:|---:|---:|"]
    lines += [row(path) for path in sorted(options.daily.glob("*.csv"))]
    options.output.write_text("\n".join(lines) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
