"""Write where Newton's method is to start. The server it asks is busy at the first attempt."""

import argparse
import json
import sys
from pathlib import Path

from settings import ATTEMPT, BUSY

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()

if ATTEMPT == 1:
    print("the server is busy", file=sys.stderr)
    sys.exit(BUSY)
arguments.output.parent.mkdir(parents=True, exist_ok=True)
arguments.output.write_text(json.dumps({str(start): float(start) for start in (2, 3, 12)}))
