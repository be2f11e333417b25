"""Seconds of training, from cold, until the squared error of an image of MNIST's test rows is at a target: the deep
autoencoder by K-FAC, and in PyTorch by the recipes that are usual for it."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc import Autoencoder
from benchmarks import data, report
from benchmarks.runner import choose, say

DESCRIPTION = "seconds to a test squared error of 3.0 an image on MNIST, 784-1000-500-250-30 mirrored, from cold"
WIDTHS = (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
CODE = 30
TARGET = 3.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Log loss of pixels in [0, 1] by a logistic output; the learning rate falls linearly to 1 %."""

    peer: str
    solver: str
    epochs: int
    batch_size: int
    learning_rate: float
    decay: float  # ours: alpha, beside the mean loss of a pixel; torch: weight_decay
    activation: str = "silu"
    precision: str = "float32"  # or "bfloat16": of products; torch: what autocast makes of it

    def cells(self) -> list[str]:
        rate, decay = f"{self.learning_rate:g}", f"{self.decay:g}"
        return [
            self.peer,
            self.solver,
            self.precision,
            self.activation,
            str(self.batch_size),
            rate,
            decay,
            str(self.epochs),
        ]


# With the decay of "adam" the objective is nearly that of ours; SGD's is a sum over pixels. K-FAC's rate is a factor of
# the step that its model of the loss takes for the best.
RECIPES = {
    "kfac": Recipe("ours", "kfac", 5, 750, 2.0, 1.5e-6),
    "kfac-bf16": Recipe("ours", "kfac", 5, 750, 2.0, 1.5e-6, precision="bfloat16"),
    "adam": Recipe("torch", "Adam", 15, 256, 3e-3, 1e-6),
    "adam-bf16": Recipe("torch", "Adam", 15, 256, 3e-3, 1e-6, precision="bfloat16"),
    "adam-gelu": Recipe("torch", "Adam", 28, 256, 1e-3, 3e-6, "gelu"),
    "adam-tanh": Recipe("torch", "Adam", 28, 256, 1e-3, 3e-6, "tanh"),
    "adam-relu": Recipe("torch", "Adam", 28, 256, 1e-3, 0.0, "relu"),
    "adamw": Recipe("torch", "AdamW", 28, 256, 1e-3, 0.1, "gelu"),
    "sgd": Recipe("torch", "SGD", 28, 256, 1e-3, 784 * 3e-6, "gelu"),
}


@dataclass(slots=True)
class Course:
    """What came of a recipe. reached: epochs and seconds of training until the target, None where it was not."""

    error: float
    epochs: int
    seconds: float
    reached: tuple[int, float] | None


def _error(X: NDArray[np.float32], reconstructed: NDArray[Any]) -> float:
    return float(np.square(X - reconstructed, dtype=np.float64).sum(axis=1).mean())


def network(recipe: Recipe) -> Autoencoder:
    return Autoencoder(
        CODE,
        hidden_layer_sizes=WIDTHS[1:4],
        activation=recipe.activation,
        latent_activation="identity",
        loss="log_loss",
        solver=recipe.solver,
        alpha=recipe.decay,
        batch_size=recipe.batch_size,
        max_iter=recipe.epochs,
        learning_rate="linear",
        learning_rate_init=recipe.learning_rate,
        precision=recipe.precision,
        n_jobs=2,
        random_state=0,
    )


def train_ours(recipe: Recipe, train: NDArray[np.float32], test: NDArray[np.float32], target: float) -> Course:
    """The whole fit counts, to the end of its schedule."""
    model = network(recipe)
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    error = _error(test, model.reconstruct(test))
    return Course(error, recipe.epochs, seconds, (recipe.epochs, seconds) if error <= target else None)


def _network(torch: Any, recipe: Recipe, mean: NDArray[np.float32]) -> Any:
    """Weights by Glorot (others than tanh: He), the output's bias at the logits of the mean image, as ours begins."""
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "gelu": torch.nn.GELU, "silu": torch.nn.SiLU}
    activation = activations[recipe.activation]
    layers: list[Any] = []
    for i, (n_in, n_out) in enumerate(pairwise(WIDTHS)):
        layer = torch.nn.Linear(n_in, n_out)
        if recipe.activation == "tanh":
            torch.nn.init.xavier_uniform_(layer.weight)
        else:
            torch.nn.init.kaiming_normal_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layers.append(layer)
        if n_out != CODE and i + 2 < len(WIDTHS):
            layers.append(activation())
    inside = np.clip(mean, 1e-3, 1 - 1e-3)
    with torch.no_grad():
        layers[-1].bias.copy_(torch.from_numpy(np.log(inside / (1 - inside))))
    return torch.nn.Sequential(*layers)


def train_torch(recipe: Recipe, train: NDArray[np.float32], test: NDArray[np.float32], target: float) -> Course:
    """Epochs count until the first that ends at the target, evaluation left out."""
    import torch

    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = _network(torch, recipe, train.mean(axis=0))
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.decay}
    if recipe.solver == "SGD":
        options |= {"momentum": 0.9, "nesterov": True}
    else:
        options |= {"fused": True}
    optimizer = getattr(torch.optim, recipe.solver)(model.parameters(), **options)
    x, size = torch.from_numpy(train), recipe.batch_size
    steps = recipe.epochs * math.ceil(len(train) / size)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    # SGD's rate is that of a loss summed over pixels; Adam does not see the scale.
    scale = WIDTHS[0] if recipe.solver == "SGD" else 1
    step, seconds, reached, error, epoch = 0, 0.0, None, math.inf, 0
    for epoch in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        order = torch.randperm(len(train))
        for i in range(0, len(train), size):
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 - 0.99 * step / steps)
            rows = x[order[i : i + size]]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                value = scale * loss(model(rows), rows)
            value.backward()
            optimizer.step()
            step += 1
        seconds += time.perf_counter() - start
        with torch.inference_mode():
            error = _error(test, model(torch.from_numpy(test)).sigmoid().numpy())
        say(f"    epoch {epoch}: {error:.3f} after {seconds:.0f} s")
        if error <= target:
            reached = (epoch, seconds)
            break
        if not math.isfinite(error):
            break
    return Course(error, epoch, seconds, reached)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks time-to-error", description=DESCRIPTION)
    parser.add_argument("--recipes", help=f"comma-separated, of {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--target", type=float, default=TARGET, help=f"squared error an image (default: {TARGET:g})")
    parser.add_argument("--epochs", type=int, help="instead of each recipe's own number")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    options = parser.parse_args(arguments)
    names = choose(options.recipes, list(RECIPES), "recipe")
    facts = report.circumstances(["time-to-error", *arguments])
    train, test = data.mnist_pixels("train"), data.mnist_pixels("test")
    rows = []
    for name in names:
        recipe = RECIPES[name]
        if options.epochs:
            recipe = Recipe(**{**{f: getattr(recipe, f) for f in Recipe.__slots__}, "epochs": options.epochs})
        say(f"  {name}: {', '.join(recipe.cells())}")
        course = (train_ours if recipe.peer == "ours" else train_torch)(recipe, train, test, options.target)
        reached = "not" if course.reached is None else f"{course.reached[0]} epochs, {course.reached[1]:.0f} s"
        rows.append([*recipe.cells(), f"{course.error:.3f}", f"{course.seconds / course.epochs:.1f}", reached])
    text = (
        f"{facts}\n* {len(train)} training rows, {len(test)} test rows, two threads, log loss, the rate falls "
        f"linearly to 1 %; target: {options.target:g} an image. "
        f"Ours counts the whole fit, PyTorch the epochs until the first that "
        "ends at the target\n\n"
    )
    head = (
        "peer",
        "solver",
        "precision",
        "activation",
        "batch",
        "rate",
        "decay",
        "epochs",
        "last error",
        "s an epoch",
        "target reached",
    )
    report.publish("time-to-error", text + report.table(head, rows), options.write)
