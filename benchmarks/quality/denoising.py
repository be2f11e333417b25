"""Peak signal-to-noise ratio of denoised MNIST digits, beside a plain autoencoder, PCA and a median filter.

Protocol (after Vincent et al. 2010, JMLR 11, with the noise of the task): pixels in [0, 1]; normal noise of standard
deviation 0.5, clipped to [0, 1], or 30 % of the pixels set to zero. The ratio is 10 log10(1 / mean squared error over
all pixels). Both autoencoders have the same shape and epochs; the plain one sees clean digits only. The normal noise of
the denoising one's training is clipped too, hence given as pairs, with fresh noise after each round of epochs. PCA
projects on components of clean digits; their number and the filter's width are chosen on the validation rows, the last
10,000 of the training part. The test part is used once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data, report
from benchmarks.runner import say

DESCRIPTION = "MNIST: PSNR of denoised digits beside a plain autoencoder, PCA and a median filter"

Array = NDArray[Any]
WANTED = 3.0  # dB over PCA


def psnr(clean: Array, restored: Array) -> float:
    return float(-10 * np.log10(np.mean((clean.astype(np.float64) - restored) ** 2)))


def gaussian(X: Array, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return np.clip(X + np.float32(0.5) * rng.standard_normal(X.shape, dtype=np.float32), 0, 1)


def missing(X: Array, seed: int) -> Array:
    return np.where(np.random.default_rng(seed).random(X.shape, dtype=np.float32) < 0.3, np.float32(0), X)


NOISES = {"gaussian 0.5, clipped": gaussian, "30 % missing": missing}


def pca(train: Array, noisy_validation: Array, validation: Array, noisy: Array) -> tuple[Array, str]:
    from sklearn.decomposition import PCA

    whole = PCA(256, random_state=0).fit(train)

    def restore(X: Array, n: int) -> Array:
        axes = whole.components_[:n]
        return np.asarray((X - whole.mean_) @ axes.T @ axes + whole.mean_)

    best = max((8, 16, 32, 64, 128, 256), key=lambda n: psnr(validation, restore(noisy_validation, n)))
    return restore(noisy, best), f"{best} components"


def median(train: Array, noisy_validation: Array, validation: Array, noisy: Array) -> tuple[Array, str]:
    from scipy.ndimage import median_filter

    def restore(X: Array, n: int) -> Array:
        return np.asarray(median_filter(X.reshape(-1, 28, 28), size=(1, n, n)).reshape(len(X), -1))

    best = max((3, 5), key=lambda n: psnr(validation, restore(noisy_validation, n)))
    return restore(noisy, best), f"{best} x {best} pixels"


def network(options: argparse.Namespace, kind: str) -> Any:
    """Kinds: plain; masking, which draws its own noise; pairs, to be fitted `options.rounds` times."""
    from autoenc import Autoencoder, DenoisingAutoencoder

    shape = dict(n_components=options.components, hidden_layer_sizes=(options.hidden,), random_state=0)
    if kind == "masking":
        return DenoisingAutoencoder(**shape, noise="masking", corruption_level=0.3, max_iter=options.epochs)
    if kind == "pairs":
        return Autoencoder(**shape, max_iter=options.epochs // options.rounds, warm_start=True)
    return Autoencoder(**shape, max_iter=options.epochs)


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks denoising", description=DESCRIPTION)
    parser.add_argument("--rows", type=int, default=50_000, help="training rows (default: 50,000)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="in which the epochs with pairs are split (default: 3)")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--components", type=int, default=256)
    parser.add_argument("--validation", action="store_true", help="measure on the validation rows, to choose by")
    parser.add_argument("--write", action="store_true", help="also write the table to benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = options_of(arguments)
    facts = report.circumstances(["denoising", *arguments])
    everything = data.mnist_pixels("train")
    train, validation = everything[: min(options.rows, 50_000)], everything[50_000:]
    test = validation if options.validation else data.mnist_pixels("test")
    rows = []
    start = time.perf_counter()
    say(f"  plain autoencoder, {options.epochs} epochs")
    plain = network(options, "plain").fit(train)
    plain_seconds = time.perf_counter() - start
    for name, noise in NOISES.items():
        noisy, noisy_validation = noise(test, 1), noise(validation, 2)
        rows.append([name, "as it is", f"{psnr(test, noisy):.2f}", "", "", ""])
        reference = 0.0
        for label, method in (("median filter", median), ("PCA", pca)):
            start = time.perf_counter()
            restored, note = method(train, noisy_validation, validation, noisy)
            reference = psnr(test, restored)
            rows.append([name, label, f"{reference:.2f}", "", f"{time.perf_counter() - start:.0f}", note])
        value = psnr(test, plain.reconstruct(noisy))
        rows.append(
            [name, "plain autoencoder", f"{value:.2f}", f"{value - reference:+.2f}", f"{plain_seconds:.0f}", ""]
        )
        say(f"  denoising autoencoder, {name}")
        start = time.perf_counter()
        if noise is missing:
            model = network(options, "masking").fit(train)
        else:
            model = network(options, "pairs")
            for seed in range(options.rounds):
                model.fit(noise(train, 10 + seed), X_clean=train)
        value = psnr(test, model.reconstruct(noisy))
        verdict = "reached" if value - reference >= WANTED else "missed"
        seconds = f"{time.perf_counter() - start:.0f}"
        rows.append([name, "ours, denoising", f"{value:.2f}", f"{value - reference:+.2f}", seconds, verdict])
    text = (
        f"{facts}\n* dB, {'validation' if options.validation else 'test'} rows; {len(train)} training rows, "
        f"784-{options.hidden}-{options.components}-{options.hidden}-784 gelu, squared error, {options.epochs} epochs; "
        f"wanted: {WANTED} dB over PCA\n\n"
    )
    head = ("noise", "method", "PSNR", "over PCA", "seconds", "note")
    report.publish("denoising", text + report.table(head, rows), options.write)
