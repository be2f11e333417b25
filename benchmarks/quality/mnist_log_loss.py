"""Test log loss on MNIST of two relu networks with logistic outputs, pixels in [0, 1], batch 256, Adam."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from benchmarks import data, report
from benchmarks.peers import PEERS, load_trainer
from benchmarks.runner import choose, say
from benchmarks.workloads import Network

DESCRIPTION = "MNIST test log loss of 784-32-784 (50 epochs) and 784-128-64-32 mirrored (100 epochs)"

# name: network, epochs, test loss that must be reached
NETWORKS = {
    "shallow": (Network((784, 32, 784), "relu", "relu", "log_loss"), 50, 0.0930),
    "deep": (Network((784, 128, 64, 32, 64, 128, 784), "relu", "relu", "log_loss"), 100, 0.0850),
}


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks mnist-log-loss", description=DESCRIPTION)
    parser.add_argument("--networks", help=f"comma-separated, of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--peers", default="ours", help=f"comma-separated, of {', '.join(PEERS)} (default: ours)")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--schedule", choices=("constant", "cosine"), default="constant")
    parser.add_argument("--epochs", type=int, help="instead of the network's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    names = choose(options.networks, list(NETWORKS), "network")
    peers = choose(options.peers, list(PEERS), "peer")
    facts = report.circumstances(["mnist-log-loss", *arguments])
    train, test = data.mnist_pixels("train"), data.mnist_pixels("test")
    rows = []
    for name in names:
        network, epochs, wanted = NETWORKS[name]
        epochs = options.epochs or epochs
        for peer in peers:
            say(f"  {name}, {peer}, {epochs} epochs")
            line = [name, peer, str(epochs)]
            try:
                trainer = load_trainer(peer)(
                    network,
                    train,
                    256,
                    learning_rate=options.learning_rate,
                    schedule=options.schedule,
                    seed=options.seed,
                )
            except ImportError as error:
                rows.append([*line, "", "", f"{wanted:.4f}", f"missing: {error}", ""])
                continue
            start = time.perf_counter()
            trainer.train(epochs, lambda: None)
            seconds = time.perf_counter() - start
            fitted, held_out = (network.evaluate(X, trainer.reconstruct(X)) for X in (train, test))
            verdict = "reached" if held_out <= wanted else "missed"
            rows.append([*line, f"{fitted:.4f}", f"{held_out:.4f}", f"{wanted:.4f}", verdict, f"{seconds:.0f}"])
    text = (
        f"{facts}\n* log loss per pixel in nats; Adam {options.learning_rate:g}, {options.schedule} rate, batch 256\n\n"
    )
    head = ("network", "peer", "epochs", "training loss", "test loss", "wanted", "verdict", "seconds")
    report.publish("mnist-log-loss", text + report.table(head, rows), options.write)
