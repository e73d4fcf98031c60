"""Averages the simulations of a sweep, and draws them beside Onsager's exact solution."""

import argparse
import collections
import json
import math
import pathlib
import statistics

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--samples", type=pathlib.Path, required=True, help="folder of *.json")
parser.add_argument("--figure", type=pathlib.Path, required=True)
parser.add_argument("--report", type=pathlib.Path, required=True)
options = parser.parse_args()

CRITICAL = 2 / math.log(1 + math.sqrt(2))


def onsager(temperature):
    """The magnetization of the infinite lattice."""
    if temperature >= CRITICAL:
        return 0.0
    return (1 - math.sinh(2 / temperature) ** -4) ** 0.125


by_temperature = collections.defaultdict(list)
for path in sorted(options.samples.glob("*.json")):
    sample = json.loads(path.read_text())
    by_temperature[sample["temperature"]].append(sample)
if not by_temperature:
    raise SystemExit(f"no samples in {options.samples}")

points = []
for temperature, samples in sorted(by_temperature.items()):
    values = [sample["magnetization"] for sample in samples]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    energy = statistics.mean(sample["energy"] for sample in samples)
    points.append((temperature, statistics.mean(values), spread, energy))

# ── the figure: plain SVG ────────────────────────────────────────────────────

WIDTH, HEIGHT, MARGIN = 640, 420, 60
low, high = points[0][0], points[-1][0]


def place(temperature, magnetization):
    """Where a value stands in the drawing."""
    x = MARGIN + (temperature - low) / (high - low) * (WIDTH - 2 * MARGIN)
    y = HEIGHT - MARGIN - magnetization * (HEIGHT - 2 * MARGIN)
    return f"{x:.1f}", f"{y:.1f}"


drawing = [
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
    'font-family="sans-serif" font-size="13">',
    '<rect width="100%" height="100%" fill="white"/>',
    f'<text x="{WIDTH / 2}" y="28" text-anchor="middle" font-size="16">'
    "Magnetization of the 2D Ising model</text>",
    f'<text x="{WIDTH / 2}" y="{HEIGHT - 15}" text-anchor="middle">temperature T (J/k)</text>',
    f'<text x="18" y="{HEIGHT / 2}" text-anchor="middle" '
    f'transform="rotate(-90 18 {HEIGHT / 2})">mean |m| per spin</text>',
]
for tick in range(6):
    x, y = place(low, tick / 5)
    drawing.append(
        f'<text x="{float(x) - 8}" y="{float(y) + 4}" text-anchor="end">{tick / 5}</text>'
    )
    drawing.append(f'<path d="M{x} {y}H{WIDTH - MARGIN}" stroke="#ddd"/>')
for temperature, *_ in points[::3]:
    x, y = place(temperature, 0)
    drawing.append(
        f'<text x="{x}" y="{float(y) + 18}" text-anchor="middle">{temperature:.1f}</text>'
    )
steps = [low + (high - low) * i / 300 for i in range(301)]
curve = " ".join(",".join(place(t, onsager(t))) for t in steps)
drawing.append(f'<polyline points="{curve}" fill="none" stroke="#999" stroke-width="2"/>')
for temperature, mean, spread, _ in points:
    x, top = place(temperature, min(1, mean + spread))
    _, bottom = place(temperature, max(0, mean - spread))
    _, y = place(temperature, mean)
    drawing.append(f'<path d="M{x} {top}V{bottom}" stroke="#1565c0"/>')
    drawing.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#1565c0"/>')
x, y = place(CRITICAL, 0.95)
drawing.append(f'<text x="{x}" y="{y}" fill="#777"> T_c = {CRITICAL:.3f}</text>')
drawing.append("</svg>")
options.figure.parent.mkdir(parents=True, exist_ok=True)
options.figure.write_text("\n".join(drawing) + "\n")

# ── the report ───────────────────────────────────────────────────────────────

count = sum(map(len, by_temperature.values()))
lines = [
    "# Phase transition of the 2D Ising model",
    "",
    f"{count} simulations at {len(points)} temperatures; Onsager's exact transition is at "
    f"T = {CRITICAL:.4f} J/k.",
    "",
    f"![magnetization]({options.figure.name})",
    "",
    "| T | mean magnetization | spread | exact (infinite lattice) | energy per spin |",
    "|---|---|---|---|---|",
]
lines += [
    f"| {t:.1f} | {mean:.3f} | {spread:.3f} | {onsager(t):.3f} | {energy:.3f} |"
    for t, mean, spread, energy in points
]
options.report.write_text("\n".join(lines) + "\n")
print("\n".join(lines))
