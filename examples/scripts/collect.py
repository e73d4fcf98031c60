"""One table of all results in a folder."""

import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--folder", type=Path, required=True)
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()

rows = [json.loads(path.read_text()) for path in sorted(arguments.folder.glob("*.json"))]
lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
lines += [" | ".join(map(str, row.values())) for row in rows]
arguments.output.write_text("".join(f"| {line} |\n" for line in lines))
print(arguments.output.read_text())
