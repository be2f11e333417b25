"""Display classes: what they draw, from which estimators, and that they leave matplotlib as it was.

Pictures are compared with those in ``tests/pictures``, both as coarse greyscale, which other versions of matplotlib and
of its fonts hardly change. ``AUTOENC_WRITE_PICTURES=1`` writes them anew; look at them before they are committed.
"""

import inspect
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.utils.fixes import parse_version

import autoenc
from autoenc import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    MarginalizedDenoisingAutoencoder,
    VariationalAutoencoder,
)

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.image import imread, imsave  # noqa: E402

from autoenc import plotting  # noqa: E402
from autoenc.plotting import (  # noqa: E402
    ErrorDistributionDisplay,
    FeatureContributionDisplay,
    FilterDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    NetworkDisplay,
    ReconstructionDisplay,
)
from autoenc.plotting._common import mosaic  # noqa: E402
from autoenc.plotting._latent import plane  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
BLOCK = 8  # pixels of a side that are one in the comparison
TOLERANCE = (
    0.16  # of the ink that is elsewhere: other fonts and hinting move up to 0.14, missing artists are 0.19 and more
)


def axes(size=(6.4, 4.8)):
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def coarse(display):
    """The picture as greys from 0 to 1, one for each block of pixels."""
    display.figure_.canvas.draw()
    pixels = np.asarray(display.figure_.canvas.buffer_rgba())[..., :3].mean(axis=2) / 255.0
    height, width = (side // BLOCK for side in pixels.shape)
    return pixels[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK).mean(axis=(1, 3))


def difference(found, expected):
    """How much ink is elsewhere, relative to all ink that there should be."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).sum() / (1.0 - expected).sum())


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:300] / 16).astype(np.float32), y[:300]


@pytest.fixture(scope="module")
def model(digits):
    return Autoencoder(3, hidden_layer_sizes=(12,), max_iter=4, random_state=0, early_stopping=True).fit(digits[0])


@pytest.fixture(scope="module")
def iris():
    return load_iris(as_frame=True).data


@pytest.fixture(scope="module")
def pipeline(iris):
    network = Autoencoder(2, hidden_layer_sizes=(6,), max_iter=20, random_state=0)
    return make_pipeline(StandardScaler().set_output(transform="pandas"), network).fit(iris)


@pytest.fixture(scope="module")
def detector(iris):
    return AutoencoderOutlierDetector(n_estimators=2, max_iter=6, random_state=0).fit(iris)


def waves(n, d):
    """Rows that need no fit and are the same everywhere."""
    return 0.5 + 0.5 * np.sin(np.outer(np.arange(1, n + 1), np.arange(d)) * 0.37)


def spiral(n):
    t = np.linspace(0.3, 3 * np.pi, n)
    return np.column_stack([t * np.cos(t), t * np.sin(t)])


ROWS, BACK = waves(6, 64), waves(6, 64) * 0.7 + 0.1
DRAWN = {
    "reconstruction_images": lambda ax: ReconstructionDisplay.from_predictions(
        ROWS, BACK, X_corrupted=np.roll(ROWS, 5, axis=1), image_shape=(8, 8), ax=ax
    ),
    "reconstruction_colours": lambda ax: ReconstructionDisplay.from_predictions(
        waves(5, 108), {"one": waves(5, 108) * 0.5, "two": waves(5, 108) ** 2}, image_shape=(6, 6, 3), ax=ax
    ),
    "reconstruction_table": lambda ax: ReconstructionDisplay.from_predictions(ROWS[:4, :9], BACK[:4, :9], ax=ax),
    "latent_glyphs": lambda ax: LatentSpaceDisplay.from_predictions(spiral(90), np.arange(90) // 30, ax=ax),
    "latent_names": lambda ax: LatentSpaceDisplay.from_predictions(
        spiral(90), np.array(["ash", "beech", "cedar"])[np.arange(90) % 3], ax=ax
    ),
    "latent_numbers": lambda ax: LatentSpaceDisplay.from_predictions(spiral(90), np.linspace(0, 1, 90), ax=ax),
    "latent_line": lambda ax: LatentSpaceDisplay.from_predictions(spiral(90)[:, :1], ax=ax),
    "manifold_images": lambda ax: ManifoldDisplay.from_predictions(
        waves(30, 64).reshape(5, 6, 64), np.linspace(-1, 1, 6), np.linspace(0, 9, 5), image_shape=(8, 8), ax=ax
    ),
    "manifold_table": lambda ax: ManifoldDisplay.from_predictions(
        waves(30, 4).reshape(5, 6, 4), np.linspace(-1, 1, 6), np.linspace(0, 9, 5), ax=ax
    ),
    "loss_curve": lambda ax: LossCurveDisplay.from_predictions(
        1 / np.arange(1, 41), 1 / np.arange(1, 41) + 1e-4 * np.arange(40), ax=ax
    ),
    "errors": lambda ax: ErrorDistributionDisplay.from_predictions(
        np.arange(200) ** 2 / 4e4, np.arange(200) > 150, threshold=0.7, ax=ax
    ),
    "filters_images": lambda ax: FilterDisplay.from_predictions(waves(11, 64) - 0.5, image_shape=(8, 8), ax=ax),
    "filters_table": lambda ax: FilterDisplay.from_predictions(waves(11, 5) - 0.5, ax=ax),
    "contributions": lambda ax: FeatureContributionDisplay.from_predictions(
        waves(1, 15)[0], values=np.arange(15), ax=ax
    ),
    "contributions_images": lambda ax: FeatureContributionDisplay.from_predictions(
        BACK[0], values=ROWS[0], image_shape=(8, 8), ax=ax
    ),
    "network": lambda ax: NetworkDisplay.from_predictions(
        [
            ("input\n20", 20, None, waves(1, 20)[0]),
            ("code\n3", 3, waves(20, 3) - 0.5, np.array([0.2, -1.0, 0.5])),
            ("output\n20", 20, waves(3, 20) - 0.5, waves(1, 20)[0] - 0.2),
        ],
        ax=ax,
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_pictures(name):
    if name == "network" and parse_version(matplotlib.__version__) < parse_version("3.11"):
        pytest.skip("matplotlib before 3.11 gives two lines of text less room, which moves all of the network")
    found = coarse(DRAWN[name](axes()))
    path = PICTURES / f"{name}.png"
    if os.environ.get("AUTOENC_WRITE_PICTURES"):
        imsave(path, found, cmap="gray", vmin=0, vmax=1, metadata={"Software": None})
    expected = imread(path)[..., 0]
    assert difference(found, expected) < TOLERANCE


def test_the_comparison_sees_what_is_missing_or_other():
    for name in DRAWN:
        display = DRAWN[name](axes())
        whole = coarse(display)
        assert whole.min() < 0.9, name
        artists = [*display.ax_.images, *display.ax_.collections, *display.ax_.lines, *display.ax_.patches]
        for artist in artists:
            artist.set_visible(False)
        assert difference(coarse(display), whole) > TOLERANCE, name
    other = ReconstructionDisplay.from_predictions(ROWS[::-1], BACK, image_shape=(8, 8), ax=axes())
    assert difference(coarse(other), coarse(DRAWN["reconstruction_images"](axes()))) > TOLERANCE


# ---- what is drawn ----


def test_reconstruction_of_images(digits, model):
    X, _ = digits
    noisy = X[::-1]
    display = ReconstructionDisplay.from_estimator(model, X, X_corrupted=noisy, n_rows=5, image_shape=(8, 8), ax=axes())
    assert list(display.rows) == ["original", "corrupted", "reconstruction"]
    which = [int(name.split()[1]) for name in display.row_names]
    assert which == [0, 75, 150, 224, 299]
    assert_array_equal(display.rows["original"], X[which])
    assert_array_equal(display.rows["reconstruction"], model.reconstruct(noisy[which]))
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(display.rows)
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert image.shape == (3 * 8 + 2, 5 * 8 + 4)
    assert_allclose(image[:8, 9:17], X[75].reshape(8, 8))
    assert np.isnan(image[8]).all()
    assert display.image_.get_clim() == (0.0, 1.0)


def test_reconstruction_of_a_table_in_a_pipeline(iris, pipeline):
    display = ReconstructionDisplay.from_estimator(pipeline, iris, n_rows=3, ax=axes())
    scaler, network = pipeline[0], pipeline[1]
    expected = scaler.inverse_transform(network.reconstruct(scaler.transform(iris)))
    assert_allclose(display.rows["reconstruction"], expected[[0, 74, 149]], rtol=1e-6)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(iris.columns)
    points = display.points_[0].get_xydata().reshape(3, 4, 2)
    # Each value at its place between the least and the largest of its feature, row by row.
    both = np.stack([display.rows["original"], display.rows["reconstruction"]])
    low, high = both.min(axis=(0, 1)), both.max(axis=(0, 1))
    scaled = (display.rows["original"] - low) / (high - low)
    assert_allclose(points[..., 0], np.arange(3)[:, np.newaxis] + 0.1 + 0.8 * scaled)
    few = display.plot(axes(), max_features=2)
    assert len(few.ax_.get_yticks()) == 2


def test_steps_that_cannot_be_undone_show_what_the_network_sees(iris):
    pipe = make_pipeline(Normalizer(), Autoencoder(2, max_iter=2, random_state=0)).fit(iris)
    display = ReconstructionDisplay.from_estimator(pipe, iris, n_rows=2, ax=axes())
    assert_allclose(np.linalg.norm(display.rows["original"], axis=1), 1.0)


def test_latent_space(digits, model):
    X, y = digits
    display = LatentSpaceDisplay.from_estimator(model, X, y, ax=axes())
    assert len(display.points_) == 10
    codes = model.transform(X)
    assert_array_equal(display.codes, codes)
    assert [len(points.get_offsets()) for points in display.points_] == list(np.bincount(y))
    # The plane is PCA's: its variance is the share that the labels of the axes name.
    at, principal, names = plane(codes.astype(float))
    covariance = np.cov(codes.T.astype(float))
    largest = np.linalg.eigvalsh(covariance)[::-1]
    assert_allclose(np.var(at, axis=0, ddof=1), largest[:2], rtol=1e-6)
    assert_allclose(principal @ principal.T, np.eye(2), atol=1e-9)
    assert f"({largest[0] / largest.sum():.0%} of its variance)" in names[0]


def test_codes_of_two_components_are_drawn_as_they_are(iris, pipeline):
    display = LatentSpaceDisplay.from_estimator(pipeline, iris, ax=axes())
    assert_array_equal(np.asarray(display.points_[0].get_offsets()), pipeline.transform(iris))


def test_manifold(digits):
    X, _ = digits
    model = VariationalAutoencoder(3, likelihood="log_loss", max_iter=2, random_state=0).fit(X)
    display = ManifoldDisplay.from_estimator(model, X, components=(2, 0), n_grid=4, image_shape=(8, 8), ax=axes())
    codes = model.transform(X)
    assert_allclose(display.first[[0, -1]], np.percentile(codes[:, 2], [5, 95]), rtol=1e-5)
    corner = np.median(codes, axis=0)
    corner[2], corner[0] = display.first[-1], display.second[0]
    assert_allclose(display.decoded[0, -1], model.inverse_transform(corner[np.newaxis])[0], rtol=1e-4, atol=1e-6)
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert_allclose(image[-8:, -8:], display.decoded[0, -1].reshape(8, 8))  # low second components are below
    assert display.ax_.get_xlabel() == "component 3 of the code"


@pytest.mark.filterwarnings("error")
def test_manifold_around_one_row(iris, pipeline):
    """As of a code that died: there is no range to show."""
    display = ManifoldDisplay.from_estimator(pipeline, iris[:1], n_grid=3, ax=axes())
    code = pipeline.transform(iris[:1])[0]
    assert_allclose([display.first, display.second], code[:, np.newaxis] + [-0.5, 0.0, 0.5], atol=1e-6)


def test_manifold_of_a_table(iris, pipeline):
    display = ManifoldDisplay.from_estimator(pipeline, iris, n_grid=6, ax=axes())
    assert display.decoded.shape == (6, 6, 4)
    named = display.plot(axes(), feature="petal length (cm)")
    assert_allclose(np.asarray(named.image_.get_array()).ravel(), display.decoded[:, :, 2].ravel())
    with pytest.raises(ValueError, match="feature='stem'; allowed are numbers and the names sepal length"):
        display.plot(axes(), feature="stem")


def test_loss_curves(digits, model, detector):
    display = LossCurveDisplay.from_estimator(model, ax=axes())
    assert_array_equal(display.lines_["training"].get_ydata(), model.loss_curve_)
    assert_array_equal(display.lines_["validation"].get_ydata(), model.validation_loss_curve_)
    assert display.ax_.get_ylabel() == "loss (squared_error)"
    (best,) = [text.get_text() for text in display.ax_.texts]
    assert best.startswith(f"best: {min(model.validation_loss_curve_):.4g}")
    many = LossCurveDisplay.from_estimator(detector, ax=axes())
    assert len(many.ax_.lines) == 2 + 1
    X, y = digits
    classifier = AutoencoderClassifier(4, max_iter=2, fine_tune_max_iter=3, random_state=0).fit(X, y)
    both = LossCurveDisplay.from_estimator(classifier, ax=axes())
    assert {name: len(line.get_ydata()) for name, line in both.lines_.items()} == {
        "training": 2,
        "training for labels": 3,
    }
    imputer = AutoencoderImputer(2, hidden_layer_sizes=(4,), max_iter=3, random_state=0).fit(X)
    assert len(LossCurveDisplay.from_estimator(imputer, ax=axes()).lines_["training"].get_ydata()) == 3


def test_loss_curves_of_several_estimators_on_the_same_axes():
    ax = axes()
    one = LossCurveDisplay.from_predictions([5.0, 3.0], [6.0, 4.0], ax=ax, name="one")
    other = LossCurveDisplay.from_predictions([4.0, 2.0], ax=ax, name="other", curve_kwargs={"linewidth": 0.5})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "one: training",
        "one: validation",
        "other: training",
    ]
    colours = [line.get_color() for line in (*one.lines_.values(), *other.lines_.values())]
    assert len(set(colours)) == 3
    assert other.lines_["training"].get_linewidth() == 0.5


@pytest.mark.parametrize("threshold", [np.nan, np.inf])
def test_thresholds_that_are_no_place(threshold):
    with pytest.raises(ValueError, match=r"threshold=.*allowed are finite numbers"):
        ErrorDistributionDisplay.from_predictions([1.0, 2.0], threshold=threshold, ax=axes())


def test_the_scale_of_losses():
    assert LossCurveDisplay.from_predictions([5.0, 0.1], ax=axes()).ax_.get_yscale() == "log"
    assert LossCurveDisplay.from_predictions([5.0, 1.0], ax=axes()).ax_.get_yscale() == "linear"
    assert LossCurveDisplay.from_predictions([5.0, -1.0], ax=axes()).ax_.get_yscale() == "linear"


def test_error_distribution(iris, detector, model, digits):
    display = ErrorDistributionDisplay.from_estimator(detector, iris, ax=axes())
    assert display.threshold == -detector.offset_
    assert_array_equal(display.threshold_.get_xdata(), [display.threshold] * 2)
    assert sum(display.counts_[""]) == len(iris)
    share = (detector.predict(iris) == -1).mean()
    assert f"{share:.1%} of the rows above" in display.threshold_.get_label()
    X, y = digits
    plain = ErrorDistributionDisplay.from_estimator(model, X, y < 5, ax=axes())
    assert plain.threshold_ is None
    assert list(plain.counts_) == [f"False ({(y >= 5).sum()} rows)", f"True ({(y < 5).sum()} rows)"]
    assert_allclose(plain.errors, -model.score_samples(X))


def test_filters(digits, model):
    X, _ = digits
    display = FilterDisplay.from_estimator(model, image_shape=(8, 8), sort=False, ax=axes())
    assert_array_equal(display.filters, model.coefs_[0].T)
    image = np.ma.filled(display.image_.get_array(), np.nan)
    assert_allclose(image[:8, :8], (model.coefs_[0][:, 0] / np.abs(model.coefs_[0][:, 0]).max()).reshape(8, 8))
    last = FilterDisplay.from_estimator(model, layer="decoder", n_filters=5, ax=axes())
    norms = np.linalg.norm(model.coefs_[-1], axis=1)
    assert_array_equal(last.unit_numbers, np.argsort(-norms, kind="stable")[:5])
    tied = Autoencoder(5, hidden_layer_sizes=(), tied_weights=True, max_iter=2, random_state=0).fit(X)
    drawn = FilterDisplay.from_estimator(tied, layer="decoder", sort=False, image_shape=(8, 8), ax=axes())
    assert_array_equal(drawn.filters, tied.coefs_[0].T)


def test_contributions(iris, detector, pipeline):
    display = FeatureContributionDisplay.from_estimator(detector, iris, row=41, ax=axes())
    expected = detector.feature_contributions(iris)
    assert_allclose(display.contributions, expected[41])
    assert_allclose([bar.get_width() for bar in display.bars_], np.sort(expected[41])[::-1])
    assert display.title == f"row 41: score {-detector.score_samples(iris)[41]:.4g}"
    strangest = FeatureContributionDisplay.from_estimator(detector, iris, ax=axes())
    assert strangest.title.startswith(f"row {np.argmin(detector.score_samples(iris))}:")
    few = display.plot(axes(), max_features=2)
    assert_allclose(few.bars_[-1].get_width(), np.sort(expected[41])[:2].sum())
    by_loss = FeatureContributionDisplay.from_estimator(pipeline, iris, row=-1, ax=axes())
    assert by_loss.title == f"row 149: error {-pipeline[-1].score_samples(pipeline[0].transform(iris))[149]:.4g}"


@pytest.mark.filterwarnings("ignore:none of the 2 components is active")
def test_contributions_below_zero_are_seen():
    """Minus the logarithm of a density above 1."""
    X = np.random.default_rng(0).normal(scale=0.01, size=(200, 5))
    model = VariationalAutoencoder(2, noise_variance="learned", max_iter=60, random_state=0).fit(X)
    terms = model.feature_errors(X)[0]
    assert terms.max() < 0
    display = FeatureContributionDisplay.from_estimator(model, X, row=0, ax=axes())
    low, high = display.ax_.get_xlim()
    assert low < terms.min() and high >= 0
    for negative in (terms, terms + 30.0):
        image = FeatureContributionDisplay.from_predictions(negative, image_shape=(1, 5), ax=axes()).image_
        shades = np.asarray(image.get_array()).ravel()
        assert_array_equal(np.argsort(shades), np.argsort(negative))
        assert shades.min() >= 0 and shades.max() == 1


def test_of_long_names_both_ends_are_seen():
    names = ["amount of " * 12 + end for end in ("first", "second", "third")]
    display = FeatureContributionDisplay([3.0, 2.0, 1.0], feature_names=names).plot(Figure().subplots())
    shown = [label.get_text() for label in display.ax_.get_yticklabels()]
    rows = np.random.default_rng(0).random((4, 3))
    table = ReconstructionDisplay.from_predictions(rows, rows + 0.1, feature_names=names, ax=Figure().subplots())
    for labels in (shown, [label.get_text() for label in table.ax_.get_yticklabels()]):
        assert [label.split()[-1] for label in labels] == ["first", "second", "third"]
        assert all(len(label) == 64 and label.startswith("amount of") for label in labels)


def test_network(iris, pipeline):
    display = NetworkDisplay.from_estimator(pipeline, iris.iloc[[0]], ax=axes())
    network, row = pipeline[-1], pipeline[0].transform(iris)[:1]
    assert [layer.width for layer in display.layers] == [4, 6, 2, 6, 4]
    assert [layer.label.split("\n")[0] for layer in display.layers] == ["input", "hidden", "code", "hidden", "output"]
    code = network.transform(row)[0]
    assert_allclose(display.layers[2].values, code, rtol=1e-6)
    assert_allclose(display.units_[2].get_facecolor()[:, 3], np.abs(code) / np.abs(code).max(), rtol=1e-6)
    assert_allclose(display.layers[-1].values, network.reconstruct(row)[0])
    for layer, weight in zip(display.layers[1:], network.coefs_, strict=True):
        assert_array_equal(layer.weights, weight)
    assert [len(lines.get_segments()) for lines in display.connections_] == [24, 12, 12, 24]
    bare = NetworkDisplay.from_estimator(pipeline, ax=axes())
    assert all(layer.values is None for layer in bare.layers)
    narrow = bare.plot(axes(), max_units=4, max_connections=3)
    assert [len(units.get_offsets()) for units in narrow.units_] == [4, 4, 2, 4, 4]
    assert all(len(lines.get_segments()) == 3 for lines in narrow.connections_)


# ---- every estimator ----

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
ESTIMATORS = {
    "Autoencoder": {"n_components": 3, **QUICK},
    "SparseAutoencoder": {"n_components": 12, "k": 3, **QUICK},
    "DenoisingAutoencoder": {"n_components": 3, **QUICK},
    "ContractiveAutoencoder": {"n_components": 3, **QUICK},
    "VariationalAutoencoder": {"n_components": 3, **QUICK},
    "VectorQuantizedAutoencoder": {"n_components": 4, "n_codes": 6, "n_codebooks": 2, **QUICK},
    "HashingAutoencoder": {"n_bits": 8, **QUICK},
    "MarginalizedDenoisingAutoencoder": {"n_layers": 2},
    "AutoencoderClassifier": {"n_components": 3, "fine_tune_max_iter": 2, **QUICK},
    "AutoencoderRegressor": {"n_components": 3, "fine_tune_max_iter": 2, **QUICK},
    "AutoencoderImputer": {"n_components": 3, **QUICK},
    "AutoencoderOutlierDetector": {"n_estimators": 2, "max_iter": 2, "random_state": 0},
}
REFUSES = {
    "ReconstructionDisplay": {"AutoencoderImputer", "AutoencoderOutlierDetector"},
    "LatentSpaceDisplay": {"AutoencoderImputer", "AutoencoderOutlierDetector"},
    "ManifoldDisplay": {"MarginalizedDenoisingAutoencoder", "AutoencoderImputer", "AutoencoderOutlierDetector"},
    "LossCurveDisplay": {"MarginalizedDenoisingAutoencoder"},
    "ErrorDistributionDisplay": {"AutoencoderImputer"},
    "FilterDisplay": {"AutoencoderImputer", "AutoencoderOutlierDetector"},
    "FeatureContributionDisplay": {"AutoencoderImputer"},
    "NetworkDisplay": {"MarginalizedDenoisingAutoencoder", "AutoencoderImputer", "AutoencoderOutlierDetector"},
}


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits
    known = {}
    for name, parameters in ESTIMATORS.items():
        kind = getattr(autoenc, name)
        known[name] = (
            kind(**parameters).fit(X, y) if "ssifier" in name or "gressor" in name else kind(**parameters).fit(X)
        )
    return known


def test_the_table_has_every_estimator_and_every_display():
    assert set(ESTIMATORS) == {name for name in autoenc.__all__ if hasattr(getattr(autoenc, name), "fit")}
    assert set(REFUSES) == set(plotting.__all__)


@pytest.mark.parametrize("display", sorted(REFUSES))
@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_every_display_of_every_estimator(name, display, fitted, digits):
    kind, X = getattr(plotting, display), digits[0][:40]
    rows = () if display in ("LossCurveDisplay", "FilterDisplay", "NetworkDisplay") else (X,)
    shows_images = display not in (
        "LatentSpaceDisplay",
        "LossCurveDisplay",
        "ErrorDistributionDisplay",
        "NetworkDisplay",
    )
    images = {"image_shape": (8, 8)} if shows_images else {}
    if name in REFUSES[display]:
        with pytest.raises(TypeError, match=rf"{display} does not go with {name}, .*allowed are"):
            kind.from_estimator(fitted[name], *rows, **images, ax=axes())
    else:
        drawn = kind.from_estimator(fitted[name], *rows, **images, ax=axes())
        assert coarse(drawn).min() < 0.97


def test_conditions(digits):
    X, y = digits
    model = Autoencoder(2, **QUICK).fit(X, condition=y)
    ReconstructionDisplay.from_estimator(model, X, condition=y, image_shape=(8, 8), ax=axes())
    LatentSpaceDisplay.from_estimator(model, X, y, condition=y, ax=axes())
    display = ManifoldDisplay.from_estimator(model, X, condition=y, n_grid=3, image_shape=(8, 8), ax=axes())
    corner = [[display.first[0], display.second[0]]]
    assert_allclose(display.decoded[0, 0], model.inverse_transform(corner, condition=y[:1])[0], rtol=1e-5, atol=1e-6)
    drawn = NetworkDisplay.from_estimator(model, X[0], condition=y[:1], ax=axes())
    assert [layer.weights is None for layer in drawn.layers] == [True, False, False, False, False]


def test_a_search_is_its_best_estimator(digits):
    X, _ = digits
    search = GridSearchCV(Autoencoder(2, **QUICK), {"n_components": [2, 3]}, cv=2).fit(X)
    display = LatentSpaceDisplay.from_estimator(search, X, ax=axes())
    assert_array_equal(display.codes, search.best_estimator_.transform(X))


@pytest.mark.slow
def test_the_page_on_pictures_runs_and_has_its_pictures(checkout, run_python, tmp_path):
    text = (checkout / "docs" / "pictures.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    images = re.findall(r"\]\((images/[\w-]+\.png)\)", text)
    assert all(display in text for display in plotting.__all__)
    for image in images:
        assert 1000 < (checkout / "docs" / image).stat().st_size < 60_000, image
    done = run_python("-W", "error", "-c", "\n".join(blocks))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.html", "log.csv"]


# ---- manners ----


def test_nothing_global_changes(digits, model):
    import matplotlib.pyplot as plt

    X, y = digits
    plt.close("all")
    before = dict(matplotlib.rcParams)
    for draw in DRAWN.values():
        draw(axes())
    LatentSpaceDisplay.from_estimator(model, X, y, ax=axes())
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_without_axes_pyplot_makes_a_figure(digits, model):
    import matplotlib.pyplot as plt

    plt.close("all")
    for draw in DRAWN.values():
        display = draw(None)
        assert plt.get_fignums() == [display.figure_.number]
        assert display.ax_.figure is display.figure_
        plt.close(display.figure_)


def test_it_can_be_drawn_again_elsewhere(digits, model):
    display = LatentSpaceDisplay.from_estimator(model, *digits, ax=axes())
    first = display.ax_
    second = axes()
    assert display.plot(second) is display
    assert display.ax_ is second is not first


def test_no_window_is_needed(run_python):
    code = (
        "import sys, numpy as np\n"
        "from matplotlib.figure import Figure\n"
        "from autoenc.plotting import LossCurveDisplay\n"
        "LossCurveDisplay.from_predictions([2.0, 1.0], ax=Figure().subplots())\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr


def test_without_matplotlib(monkeypatch, model, digits):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"LatentSpaceDisplay needs matplotlib.*pip install matplotlib"):
        LatentSpaceDisplay.from_estimator(model, *digits)


def test_the_package_loads_without_matplotlib(run_python):
    code = "import sys; sys.modules['matplotlib'] = None; import autoenc.plotting; print(len(autoenc.plotting.__all__))"
    done = run_python("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("8", "")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X: LatentSpaceDisplay.from_predictions(X, np.arange(3)), ValueError, r"labels have shape \(3,\)"),
        (
            lambda X: LatentSpaceDisplay.from_predictions(X, np.arange(len(X))),
            ValueError,
            "different values; at most 20",
        ),
        (lambda X: LatentSpaceDisplay.from_predictions(X * np.nan), ValueError, "not finite"),
        (lambda X: LatentSpaceDisplay.from_predictions(X, y=X[:, 0] * np.inf), ValueError, "labels have infinity"),
        (lambda X: ReconstructionDisplay.from_predictions(X, X[:2]), ValueError, "tables of different shapes"),
        (
            lambda X: ReconstructionDisplay.from_predictions(X, X, image_shape=(7, 9)),
            ValueError,
            r"\(7, 9\) does not fit 64",
        ),
        (
            lambda X: ReconstructionDisplay.from_predictions(X, X, image_shape=8),
            ValueError,
            "image_shape=8 does not fit",
        ),
        (lambda X: ReconstructionDisplay({}).plot(), ValueError, "rows is empty"),
        (
            lambda X: ReconstructionDisplay.from_predictions(X, X, ax="here"),
            TypeError,
            "ax is 'here'; allowed are axes",
        ),
        (lambda X: ManifoldDisplay.from_predictions(X, [1], [2]), ValueError, "decoded has shape"),
        (lambda X: LossCurveDisplay.from_predictions([]), ValueError, "curve 'training' has shape"),
        (lambda X: LossCurveDisplay.from_predictions([1.0], [np.nan]), ValueError, "curve 'validation' has shape"),
        (lambda X: LatentSpaceDisplay.from_predictions(X[:, :0]), ValueError, r"codes has shape \(25, 0\)"),
        (lambda X: LatentSpaceDisplay.from_predictions(X[:0]), ValueError, r"codes has shape \(0, 64\)"),
        (lambda X: NetworkDisplay.from_predictions([]), ValueError, r"layers=\[\]; there must be at least one"),
        (
            lambda X: LossCurveDisplay.from_predictions([1.0], scale="cube"),
            ValueError,
            "scale='cube'; allowed are 'auto'",
        ),
        (lambda X: ErrorDistributionDisplay.from_predictions(X), ValueError, "errors have shape"),
        (
            lambda X: ErrorDistributionDisplay.from_predictions([0.0, 1.0], scale="log"),
            ValueError,
            "needs positive errors",
        ),
        (lambda X: ErrorDistributionDisplay.from_predictions(X[0], bins=0), ValueError, "bins=0; allowed are whole"),
        (lambda X: ErrorDistributionDisplay.from_predictions(X[0], bins="auto"), ValueError, "bins='auto'; allowed"),
        (lambda X: ErrorDistributionDisplay.from_predictions(X[0], threshold="a"), TypeError, "threshold='a'; allowed"),
        (
            lambda X: LatentSpaceDisplay.from_predictions(X[:2], np.array(["a", 3], dtype=object)),
            TypeError,
            "labels have values of several kinds",
        ),
        (
            lambda X: ErrorDistributionDisplay.from_predictions(np.ones(9), np.arange(9)),
            ValueError,
            "at most 6 histograms",
        ),
        (
            lambda X: FilterDisplay.from_predictions(X, image_shape=(8, 8), scale=1),
            ValueError,
            "scale=1; allowed are 'each'",
        ),
        (
            lambda X: FeatureContributionDisplay.from_predictions(X),
            ValueError,
            "allowed is .n_features,., those of one row",
        ),
        (
            lambda X: FeatureContributionDisplay.from_predictions(X[0], max_features=0),
            ValueError,
            "max_features=0; allowed",
        ),
        (lambda X: FeatureContributionDisplay.from_predictions(X[0], feature_names=["a"]), ValueError, "has 1 names"),
    ],
)
def test_errors_of_arrays(call, error, message):
    with pytest.raises(error, match=message):
        call(waves(25, 64))


def test_errors_of_estimators(digits, model, detector):
    X, _ = digits
    with pytest.raises(Exception, match="not fitted yet"):
        LatentSpaceDisplay.from_estimator(Autoencoder(2), X)
    with pytest.raises(TypeError, match="needs a fitted estimator of autoenc; got <class"):
        LatentSpaceDisplay.from_estimator(Autoencoder, X)
    pipe = make_pipeline(StandardScaler(), Normalizer()).fit(X)
    with pytest.raises(TypeError, match=r"has no estimator of autoenc among its steps \(StandardScaler, Normalizer\)"):
        LatentSpaceDisplay.from_estimator(pipe, X)
    with pytest.raises(ValueError, match="n_rows=0; allowed are whole numbers from 1"):
        ReconstructionDisplay.from_estimator(model, X, n_rows=0)
    with pytest.raises(ValueError, match=r"components=\(0, 3\); allowed are 2 different numbers of the 3 components"):
        ManifoldDisplay.from_estimator(model, X, components=(0, 3))
    with pytest.raises(ValueError, match="layer='middle'; allowed are 'encoder' and 'decoder'"):
        FilterDisplay.from_estimator(model, layer="middle")
    with pytest.raises(ValueError, match="row=300; allowed are numbers of the 300 rows"):
        FeatureContributionDisplay.from_estimator(model, X, row=300)
    for wrong in (1.5, "first", True):
        with pytest.raises(ValueError, match=f"row={wrong!r}; allowed are numbers of the 300 rows"):
            FeatureContributionDisplay.from_estimator(model, X, row=wrong)
    for n in (5, 299):
        with pytest.raises(ValueError, match=f"X_corrupted has {n} rows and X 300; allowed: the same rows"):
            ReconstructionDisplay.from_estimator(model, X, X_corrupted=X[:n])
    with pytest.raises(ValueError, match="X_corrupted has 300 rows and X 200; allowed: the same rows"):
        ReconstructionDisplay.from_estimator(model, X[:200].tolist(), X_corrupted=X)
    with pytest.raises(ValueError, match="x has 2 rows; allowed is one"):
        NetworkDisplay.from_estimator(model, X[:2])
    with pytest.raises(TypeError, match="MarginalizedDenoisingAutoencoder, which has no inverse_transform"):
        ManifoldDisplay.from_estimator(MarginalizedDenoisingAutoencoder(n_layers=1).fit(X), X)


@pytest.mark.parametrize("display", [getattr(plotting, name) for name in plotting.__all__])
def test_every_parameter_is_described(display):
    for function in (display, display.from_estimator, display.from_predictions, display.plot):
        text = inspect.getdoc(function).partition("Parameters\n----------\n")[2].partition("\n---")[0]
        described = {name.strip(" *") for line in text.splitlines() if line[:1].strip() for name in
                     line.partition(" : ")[0].split(",")}  # fmt: skip
        missing = {name for name in inspect.signature(function).parameters if name != "self"} - described
        assert not missing, f"{function.__qualname__}: {missing}"


def test_mosaic_of_gaps():
    whole, gap = mosaic(np.arange(8.0).reshape(1, 2, 4), (2, 2))
    assert gap == 1
    assert_array_equal(whole, [[0, 1, np.nan, 4, 5], [2, 3, np.nan, 6, 7]])
