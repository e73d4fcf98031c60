"""A short round trip through random cities: scatter them, improve the trip, choose the best."""

import argparse
import json
import math
import random
from pathlib import Path

CITIES, ROUNDS = 60, 60_000


def length(cities: list[list[float]], tour: list[int]) -> float:
    """Of the whole round trip."""
    return sum(math.dist(cities[a], cities[b]) for a, b in zip(tour, [*tour[1:], tour[0]]))


def gain(cities: list[list[float]], tour: list[int], i: int, j: int) -> float:
    """What reversing tour[i..j] makes the trip shorter."""
    before, first, last, after = (cities[tour[k % CITIES]] for k in (i - 1, i, j, j + 1))
    now = math.dist(before, first) + math.dist(last, after)
    return now - math.dist(before, last) - math.dist(first, after)


def improved(cities: list[list[float]], *, hot: float) -> dict[str, object]:
    """Reverse parts of the trip; while it is hot, now and then for the worse."""
    dice, tour = random.Random(3), list(range(CITIES))
    for step in range(ROUNDS):
        i, j = sorted(dice.sample(range(1, CITIES), 2))
        better = gain(cities, tour, i, j)
        heat = hot * (1 - step / ROUNDS)
        if better > 0 or (heat > 0 and dice.random() < math.exp(better / heat)):
            tour[i : j + 1] = reversed(tour[i : j + 1])
    return {"length": length(cities, tour), "tour": tour}


def scatter(options: argparse.Namespace) -> object:
    """Cities on the unit square."""
    dice = random.Random(1)
    return [[dice.random(), dice.random()] for _ in range(CITIES)]


def swap(options: argparse.Namespace) -> object:
    """Take what is better, and nothing else."""
    return improved(json.loads(options.cities.read_text()), hot=0.0)


def cool(options: argparse.Namespace) -> object:
    """Simulated annealing."""
    return improved(json.loads(options.cities.read_text()), hot=0.1)


def choose(options: argparse.Namespace) -> object:
    """The shortest."""
    found = {path.stem: json.loads(path.read_text()) for path in options.tours}
    name = min(found, key=lambda each: found[each]["length"])
    for each, tour in found.items():
        print(f"{each}: {tour['length']:.3f}")
    return found[name] | {"by": name}


parser = argparse.ArgumentParser()
parser.add_argument("what", choices=("scatter", "swap", "cool", "choose"))
parser.add_argument("--cities", type=Path)
parser.add_argument("--tours", type=Path, nargs="*")
parser.add_argument("--output", type=Path, required=True)
options = parser.parse_args()
made = globals()[options.what](options)
options.output.parent.mkdir(parents=True, exist_ok=True)
options.output.write_text(json.dumps(made))
