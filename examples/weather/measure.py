"""A year of hourly temperatures of one station, with a few readings that cannot be."""

from __future__ import annotations

import argparse
import gzip
import math
import random
from pathlib import Path

HOURS = 365 * 24


def reading(hour: int, station: int, dice: random.Random) -> float:
    """Degrees Celsius: the season, the time of day, the weather; now and then nonsense."""
    if dice.random() < 0.002:
        return -999.0
    season = -11 * math.cos(2 * math.pi * hour / HOURS)
    day = -4 * math.cos(2 * math.pi * (hour % 24) / 24)
    return 9.5 - 1.5 * station + season + day + dice.gauss(0, 2)


def main() -> None:
    """Write the raw data."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--station", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    dice = random.Random(options.station)
    with gzip.open(options.output, "wt") as file:
        for hour in range(HOURS):
            file.write(f"{hour},{reading(hour, options.station, dice):.1f}\n")
    print(f"station {options.station}: {HOURS} readings")


if __name__ == "__main__":
    main()
