"""The demonstration behind ``python -m autoenc demo``: digits in, codes and reconstructions out, beside PCA."""

import contextlib
import io
import sys
import time
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autoenc import Autoencoder
from autoenc._cli_shared import UsageError
from autoenc._whole_file import check_writable, replacing

Array = NDArray[Any]

NOISE = 0.3
COPIES = 8


@dataclass(frozen=True)
class Result:
    """What the demonstration found on held-out rows: mean squared errors per pixel, accuracies as fractions."""

    n_components: int
    error: float
    pca_error: float
    accuracy: float
    pca_accuracy: float
    corrupted_error: float
    denoised_error: float
    picture: str | None = None  # the file that was written


def corrupt(X: Array, rng: np.random.Generator) -> Array:
    """Gaussian noise of standard deviation 0.3 on every pixel, clipped to [0, 1]."""
    return np.clip(X + rng.normal(scale=NOISE, size=X.shape), 0, 1).astype(X.dtype)


def report(state: Any) -> None:
    """A line after the first epoch and after every quarter of them."""
    if state.epoch == 1 or 4 * state.epoch // state.n_epochs > 4 * (state.epoch - 1) // state.n_epochs:
        print(f"  epoch {state.epoch:3d} of {state.n_epochs}: squared error per pixel {state.loss:.5f}", flush=True)


def train(title: str, estimator: Autoencoder, X: Array, **fit_arguments: Any) -> Autoencoder:
    """Fits, with progress on the screen. Ctrl-C ends the demonstration instead of leaving it half trained."""
    print(f"{title} ...", flush=True)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="fitting was interrupted")
        try:
            estimator.fit(X, **fit_arguments)
        except UserWarning as warning:
            if "interrupted" not in str(warning):
                raise
            raise KeyboardInterrupt from None
    print(f"  {estimator.n_iter_} epochs in {time.perf_counter() - start:.1f} s", flush=True)
    return estimator


def mean_squared_error(a: Array, b: Array) -> float:
    return float(np.mean((a.astype(np.float64) - b) ** 2))


def downstream_accuracy(codes: Array, y: Array, held_out_codes: Array, held_out_y: Array) -> float:
    """Of a logistic regression that sees the codes only."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(classifier.fit(codes, y).score(held_out_codes, held_out_y))


def run(
    output: str = "autoenc-demo.png", *, n_components: int = 16, quick: bool = False, quiet: bool = False
) -> Result:
    """Trains, prints the table, writes the picture where matplotlib is installed. `quiet`: no lines about training."""
    if Path(output).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UsageError(f"--output {output}: the name must end in .png, .pdf or .svg")
    check_writable(output)
    try:
        import_module("matplotlib.figure")
    except ImportError:
        print("matplotlib is not installed, so there will be numbers but no picture: pip install matplotlib")
    digits = load_digits()
    X = (digits.data / 16).astype(np.float32)
    if n_components > X.shape[1]:
        raise UsageError(f"--components {n_components}: these images have {X.shape[1]} pixels, so at most {X.shape[1]}")
    X, X_test, y, y_test = train_test_split(X, digits.target, test_size=0.25, stratify=digits.target, random_state=0)
    with contextlib.redirect_stdout(io.StringIO() if quiet else sys.stdout):
        print(f"{len(X)} handwritten digits of 8 x 8 pixels to learn from, {len(X_test)} held out")
        settings: dict[str, Any] = {"max_iter": 20 if quick else 200, "random_state": 0, "callbacks": [report]}

        model = train(f"autoencoder 64 -> {n_components} -> 64", Autoencoder(n_components, **settings), X)
        rng = np.random.default_rng(0)
        X_noisy_test = corrupt(X_test, rng)
        X_copies = np.concatenate([X] * COPIES)
        denoiser = train(
            f"denoising autoencoder, {COPIES} noisy copies of every digit",
            Autoencoder(n_components, **{**settings, "max_iter": max(1, settings["max_iter"] // 4)}),
            corrupt(X_copies, rng),
            X_clean=X_copies,
        )
        plane = train("autoencoder 64 -> 2 -> 64, for the map", Autoencoder(2, **settings), X)
    pca = PCA(n_components, random_state=0).fit(X)

    X_denoised = denoiser.reconstruct(X_noisy_test)
    result = Result(
        n_components=n_components,
        error=mean_squared_error(X_test, model.reconstruct(X_test)),
        pca_error=mean_squared_error(X_test, pca.inverse_transform(pca.transform(X_test))),
        accuracy=downstream_accuracy(model.transform(X), y, model.transform(X_test), y_test),
        pca_accuracy=downstream_accuracy(pca.transform(X), y, pca.transform(X_test), y_test),
        corrupted_error=mean_squared_error(X_test, X_noisy_test),
        denoised_error=mean_squared_error(X_test, X_denoised),
    )
    print(f"""
held-out digits, {n_components} components           autoencoder       PCA
  squared error per pixel               {result.error:11.5f} {result.pca_error:9.5f}
  accuracy of a classifier on the codes {result.accuracy:11.1%} {result.pca_accuracy:9.1%}
  squared error after noise: {result.corrupted_error:.5f}, denoised: {result.denoised_error:.5f}
""")
    shown = [int(np.flatnonzero(y_test == digit)[0]) for digit in range(10)]
    rows = {
        "original": X_test[shown],
        "autoencoder": model.reconstruct(X_test[shown]),
        "PCA": pca.inverse_transform(pca.transform(X_test[shown])),
        "corrupted": X_noisy_test[shown],
        "denoised": X_denoised[shown],
    }
    try:
        draw(output, rows, plane.transform(X_test), y_test, result)
    except ImportError:
        print("no picture was written")
    else:
        print(f"picture: {output}")
        return replace(result, picture=output)
    return result


def draw(output: str, rows: dict[str, Array], codes: Array, labels: Array, result: Result) -> None:
    """Left the images, one column for each digit; right the held-out digits on the plane of a two-component code."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from autoenc.plotting import LatentSpaceDisplay, ReconstructionDisplay

    figure = Figure(figsize=(12, 4.7), layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.5, 1], wspace=0.03)
    left, right = halves

    left.suptitle(f"Digits that training never saw, through {result.n_components} numbers each", fontsize=12)
    images: Any = ReconstructionDisplay(rows, image_shape=(8, 8)).plot(left.subplots(), vmin=0.0, vmax=1.0)
    images.ax_.tick_params(labelsize=11)
    left.supxlabel(
        f"mean squared error per pixel: autoencoder {result.error:.4f}, PCA {result.pca_error:.4f}; "
        f"corrupted {result.corrupted_error:.4f}, denoised {result.denoised_error:.4f}",
        fontsize=10,
    )
    right.suptitle("The same digits on a map: two numbers each", fontsize=12)
    LatentSpaceDisplay.from_predictions(codes, labels, ax=right.subplots())
    with replacing(output) as file:
        figure.savefig(file, format=Path(output).suffix[1:].lower(), dpi=110)
