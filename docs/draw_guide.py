"""Draws the pictures of guide.md that no other page has: `python docs/draw_guide.py` writes docs/images/guide-*.png."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    ContractiveAutoencoder,
    HashingAutoencoder,
    MarginalizedDenoisingAutoencoder,
    VectorQuantizedAutoencoder,
)

IMAGES = Path(__file__).resolve().parent / "images"
SHOWN = 10


def figure(width: float, height: float) -> Figure:
    new = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(new)
    return new


def rows_of_digits(name: str, rows: Mapping[str, Any]) -> None:
    """Rows of ten digits, each with its label at the left."""
    new = figure(7.2, 0.72 * len(rows))
    for line, (label, images) in zip(new.subplots(len(rows), SHOWN, squeeze=False), rows.items(), strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for cell, image in zip(line, images, strict=True):
            cell.imshow(np.asarray(image).reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            cell.set(xticks=[], yticks=[])
    new.savefig(IMAGES / f"guide-{name}.png", dpi=80)


def main() -> None:
    digits = load_digits()
    X, T, y, labels = train_test_split(
        (digits.data / 16).astype(np.float32), digits.target, test_size=0.3, stratify=digits.target, random_state=0
    )
    some = T[[int(np.flatnonzero(labels == digit)[0]) for digit in range(SHOWN)]]
    rng = np.random.default_rng(0)

    plain, pca = Autoencoder(8, random_state=0).fit(X), PCA(8).fit(X)
    linear = pca.inverse_transform(pca.transform(some))
    rows_of_digits("plain", {"original": some, "autoencoder, 8": plain.reconstruct(some), "PCA, 8": linear})

    vq = VectorQuantizedAutoencoder(16, n_codes=32, n_codebooks=4, random_state=0).fit(X)
    rows_of_digits("quantised", {"original": some, "4 numbers of 0..31": vq.reconstruct(some)})

    hasher = HashingAutoencoder(32, random_state=0).fit(X)
    _, nearest = hasher.kneighbors(some[[2, 4, 9]], n_neighbors=SHOWN - 1)
    rows_of_digits(
        "hashing", {f"a {d}, then nearest": [some[d], *X[found]] for d, found in zip((2, 4, 9), nearest, strict=True)}
    )

    hidden = np.where(rng.random(some.shape) < 0.5, 0, some)
    msda = MarginalizedDenoisingAutoencoder(n_layers=1, corruption_level=0.5).fit(X)
    rows_of_digits("marginalised", {"half hidden": hidden, "restored": msda.reconstruct(hidden)})

    gaps = np.where(rng.random(X.shape) < 0.3, np.nan, X)
    holes = np.where(rng.random(some.shape) < 0.4, np.nan, some)
    imputer = AutoencoderImputer(random_state=0).fit(gaps)
    rows_of_digits("missing", {"40 % missing": holes, "filled": imputer.transform(holes), "original": some})

    new = figure(5.2, 2.6)
    axis = new.subplots()
    for colour, weight in (("#0072B2", 0.0), ("#D55E00", 3e-3)):
        model = ContractiveAutoencoder(64, contraction_weight=weight or None, max_iter=100, random_state=0).fit(X)
        steps = np.linspace(0, 0.5, 11)
        noise = rng.normal(size=T.shape).astype(np.float32)
        codes = model.transform(T)
        moved = [
            np.linalg.norm(model.transform(T + s * noise) - codes, axis=1).mean() for s in steps.astype(np.float32)
        ]
        axis.plot(steps, moved, color=colour, label="contractive" if weight else "plain")
    axis.set(xlabel="standard deviation of noise on the pixels", ylabel="distance in the code")
    axis.legend(frameon=False)
    new.savefig(IMAGES / "guide-contractive.png", dpi=80)

    new = figure(5.2, 2.6)
    axis = new.subplots()
    counts = (20, 50, 100, 200, 400)
    ours, theirs = [], []
    for n in counts:
        few = np.full(len(y), -1)
        few[:n] = y[:n]
        ours.append(AutoencoderClassifier(random_state=0).fit(X, few).score(T, labels))
        theirs.append(LogisticRegression(max_iter=2000).fit(X[:n], y[:n]).score(T, labels))
    axis.plot(counts, ours, "o-", color="#D55E00", label="AutoencoderClassifier")
    axis.plot(counts, theirs, "s-", color="#0072B2", label="LogisticRegression")
    axis.set(xlabel="rows with a label, of 1,257", ylabel="accuracy on other rows", xscale="log")
    axis.set_xticks(counts, labels=[str(n) for n in counts])
    axis.minorticks_off()
    axis.legend(frameon=False)
    new.savefig(IMAGES / "guide-labels.png", dpi=80)


if __name__ == "__main__":
    main()
