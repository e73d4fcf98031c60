"""The trained networks beside each other, the best first."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    models = [json.loads(path.read_text()) for path in sorted(options.models.glob("*.json"))]
    models.sort(key=lambda model: -model["accuracy"])
    lines = ["| hidden units | rate | right |", "|---:|---:|---:|"]
    lines += [f"| {m['units']} | {m['rate']} | {m['accuracy']:.1%} |" for m in models]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    print(options.output.read_text())


if __name__ == "__main__":
    main()
