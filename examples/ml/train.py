"""A small neural network, one hidden layer of tanh units, trained by gradient descent."""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

EPOCHS = 60


class Network:
    """Two inputs, some hidden units, the probability of one class."""

    def __init__(self, units: int, dice: random.Random) -> None:
        self.hidden = [[dice.gauss(0, 1) for _ in range(3)] for _ in range(units)]
        self.output = [dice.gauss(0, 1) for _ in range(units + 1)]

    def layers(self, x: float, y: float) -> tuple[list[float], float]:
        """The hidden units' values, and the probability."""
        values = [math.tanh(a * x + b * y + c) for a, b, c in self.hidden]
        total = self.output[-1] + sum(w * v for w, v in zip(self.output, values, strict=False))
        return values, 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))

    def learn(self, x: float, y: float, label: int, rate: float) -> None:
        """One step against the gradient of the cross entropy."""
        values, probability = self.layers(x, y)
        error = probability - label
        for unit, value in enumerate(values):
            back = error * self.output[unit] * (1 - value * value)
            weights = self.hidden[unit]
            for i, given in enumerate((x, y, 1.0)):
                weights[i] -= rate * back * given
            self.output[unit] -= rate * error * value
        self.output[-1] -= rate * error

    def accuracy(self, points: list[tuple[float, float, int]]) -> float:
        """The share of points it tells rightly."""
        right = sum((self.layers(x, y)[1] > 0.5) == bool(label) for x, y, label in points)
        return right / len(points)


def main() -> None:
    """Train one network, and write it down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--units", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    data = json.loads(options.data.read_text())
    network = Network(options.units, random.Random(7))
    for _ in range(EPOCHS):
        for x, y, label in data["train"]:
            network.learn(x, y, label, options.rate)
    model = {
        "units": options.units,
        "rate": options.rate,
        "accuracy": network.accuracy(data["test"]),
        "hidden": network.hidden,
        "output": network.output,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(model))
    print(f"{options.units} units, rate {options.rate}: {model['accuracy']:.1%} right")


if __name__ == "__main__":
    main()
