"""One Monte Carlo simulation of the 2D Ising model (Metropolis, checkerboard order).

Writes the mean absolute magnetization and the mean energy per spin, with nothing but Python's
standard library.
"""

import argparse
import json
import math
import pathlib
import random
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--temperature", type=float, required=True, help="in units of J/k")
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--size", type=int, default=20, help="spins along an edge")
parser.add_argument("--sweeps", type=int, default=2000, help="passes over all spins")
parser.add_argument("--output", type=pathlib.Path, required=True)
options = parser.parse_args()

started = time.time()
size = options.size
rng = random.Random(f"{options.seed} {options.temperature}")
# Start in order: below the transition a disordered start may stay in two domains for ever.
spins = [[1] * size for _ in range(size)]
accept = {change: math.exp(-change / options.temperature) for change in (4, 8)}


def sweep():
    """Offer every spin one flip; first the black squares of a chessboard, then the white."""
    for colour in (0, 1):
        for y in range(size):
            row, above, below = spins[y], spins[y - 1], spins[(y + 1) % size]
            for x in range((y + colour) % 2, size, 2):
                neighbours = row[x - 1] + row[(x + 1) % size] + above[x] + below[x]
                change = 2 * row[x] * neighbours
                if change <= 0 or rng.random() < accept[change]:
                    row[x] = -row[x]


magnetizations, energies = [], []
for number in range(options.sweeps):
    sweep()
    if number >= options.sweeps // 4:  # let it come to equilibrium first
        magnetizations.append(abs(sum(map(sum, spins))) / size**2)
        bonds = sum(
            spins[y][x] * (spins[y - 1][x] + spins[y][x - 1])
            for y in range(size)
            for x in range(size)
        )
        energies.append(-bonds / size**2)

result = {
    "temperature": options.temperature,
    "seed": options.seed,
    "size": size,
    "magnetization": sum(magnetizations) / len(magnetizations),
    "energy": sum(energies) / len(energies),
    "seconds": round(time.time() - started, 2),
}
options.output.parent.mkdir(parents=True, exist_ok=True)
options.output.write_text(json.dumps(result) + "\n")
print(f"T={options.temperature} seed={options.seed}: |m| = {result['magnetization']:.3f}")
