"""The readings that can be true; and how many could not."""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

COLDEST, HOTTEST = -40.0, 50.0


def main() -> None:
    """Copy what is sound."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with gzip.open(options.raw, "rt") as file:
        lines = file.read().splitlines()
    sound = [line for line in lines if COLDEST <= float(line.split(",")[1]) <= HOTTEST]
    options.output.write_text("\n".join(sound) + "\n")
    print(f"{len(sound)} of {len(lines)} readings are sound")


if __name__ == "__main__":
    main()
