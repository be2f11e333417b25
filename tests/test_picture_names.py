"""Names and labels in pictures as a user's data has them: long, many, with dollar signs, underscores or gaps."""

import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from autoenc import Autoencoder
from autoenc.inspection import explore

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from autoenc.plotting import (
    ErrorDistributionDisplay,
    FeatureContributionDisplay,
    FilterDisplay,
    LatentSpaceDisplay,
    ManifoldDisplay,
    ReconstructionDisplay,
)

PRICES = ["$5-$10", "a $\\ b$", "_hidden", "plain", "x"]  # two of them no formula, one no name to matplotlib


def drawn(figure):
    figure.canvas.draw()
    return figure.canvas.get_renderer()


def boxes(texts, renderer):
    return [text.get_window_extent(renderer) for text in texts if text.get_text()]


@pytest.fixture(scope="module")
def iris():
    return load_iris().data.astype(np.float32)


@pytest.fixture(scope="module")
def model(iris):
    return Autoencoder(2, hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(iris)


@pytest.fixture
def figure():
    found = Figure(layout="constrained")
    FigureCanvasAgg(found)
    return found


def test_labels_are_no_formulas_and_none_is_left_out(figure):
    codes = np.random.default_rng(0).normal(size=(50, 2))
    labels = np.array(PRICES)[np.arange(50) % 5]
    display = LatentSpaceDisplay.from_predictions(codes, labels, ax=figure.subplots())
    drawn(figure)
    shown = [text.get_text().replace("\\$", "$") for text in display.ax_.get_legend().get_texts()]
    assert shown == sorted(PRICES)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax, rows: ReconstructionDisplay.from_predictions(rows, rows / 2, feature_names=PRICES, ax=ax),
        lambda ax, rows: FeatureContributionDisplay.from_predictions(rows[0], feature_names=PRICES, ax=ax),
        lambda ax, rows: FilterDisplay.from_predictions(rows, feature_names=PRICES, ax=ax),
        lambda ax, rows: ErrorDistributionDisplay.from_predictions(rows[0], PRICES, ax=ax),
        lambda ax, rows: ManifoldDisplay.from_predictions(
            np.repeat(rows, 3, axis=0).reshape(3, 3, 5), range(3), range(3), feature_names=PRICES, ax=ax
        ).plot(ax, feature=PRICES[1]),
    ],
    ids=["reconstruction", "contributions", "filters", "errors", "manifold"],
)
def test_names_are_no_formulas(draw, figure):
    draw(figure.subplots(), np.random.default_rng(0).random((3, 5)))
    drawn(figure)  # a formula that is none is an error here


@pytest.mark.parametrize("n_rows", [3, 30])
def test_long_names_and_many_rows_do_not_overlap(n_rows, iris):
    names = [f"a name of a feature that is rather long, number {i}" for i in range(4)]
    rows = iris[:n_rows]
    table = ReconstructionDisplay.from_predictions(rows, rows / 2, feature_names=names)
    bars = FeatureContributionDisplay(
        iris[0], feature_names=names, typical=iris[1], title="row 158: score 3.642"
    ).plot()
    for display in (table, bars):
        renderer = drawn(display.figure_)
        ax = display.ax_
        texts = [*ax.get_yticklabels(), *ax.get_legend().get_texts()]
        texts += ax.get_xticklabels() if display is table else []  # of bars some lie beyond the axes, not drawn
        found = [*boxes(texts, renderer), *boxes([ax._left_title], renderer)]
        whole = display.figure_.bbox
        assert all(whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1 for box in found)
        assert not [
            (i, j) for i, a in enumerate(found) for j, b in enumerate(found[:i]) if a.shrunk(0.98, 0.9).overlaps(b)
        ]
        assert ax.get_window_extent(renderer).width > 0.35 * whole.width


GAPS = np.arange(150) < 5


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (np.where(GAPS, np.nan, 1.0), ["1"]),  # no 1.0, which it is for the gaps alone
        (np.where(GAPS, np.nan, 1.5), ["1.5"]),
        (np.where(GAPS, None, np.arange(150) % 3), ["0", "1", "2"]),
        (np.where(GAPS, None, np.where(np.arange(150) % 2, "left", "right")), ["left", "right"]),
        ([None if gap else "a" for gap in GAPS], ["a"]),
        ([float("nan") if gap else "nan" for gap in GAPS], ["nan"]),  # a text is one
        (np.full(150, np.nan), []),
        (np.full(150, None), []),
    ],
)
def test_rows_without_a_label_are_grey(labels, texts, model, iris, tmp_path, figure):
    gaps = int(GAPS.sum()) if texts else 150
    display = LatentSpaceDisplay.from_estimator(model, iris, labels, ax=figure.subplots())
    assert len(display.points_[0].get_offsets()) == gaps
    assert len(display.points_) == 1 + len(texts)
    assert to_hex(display.points_[0].get_facecolor()[0]).upper() == "#BBBBBB"
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert shown[0] == "unlabelled" and (len(shown) == 1 or shown[1:] == texts)
    found = ErrorDistributionDisplay.from_estimator(model, iris, labels, ax=Figure().subplots())
    assert list(found.counts_)[-1] == f"unlabelled ({gaps} rows)" and len(found.counts_) == 1 + len(texts)
    assert sum(count.sum() for count in found.counts_.values()) == 150
    page = explore(model, tmp_path / "page.html", iris, labels=labels).read_text()
    content = json.loads(re.search(r'"labels": (\[.*?\])', page)[1])
    assert [one == "unlabelled" for one in content] == [bool(gap) for gap in GAPS] if texts else [True] * 150
    assert [text for text, *_ in json.loads(re.search(r'"legend": (\[.*?\]\])', page)[1])] == [*texts, "unlabelled"]


def test_numbers_with_gaps_have_a_scale(model, iris, tmp_path, figure):
    labels = np.where(GAPS, np.nan, iris.to_numpy()[:, 0] if hasattr(iris, "to_numpy") else np.asarray(iris)[:, 0])
    display = LatentSpaceDisplay.from_estimator(model, iris, labels, ax=figure.subplots())
    assert [len(points.get_offsets()) for points in display.points_] == [5, 145]
    assert display.points_[1].get_array().min() == np.nanmin(labels)
    page = explore(model, tmp_path / "page.html", iris, labels=labels).read_text()
    legend = json.loads(re.search(r'"legend": (\[.*?\]\])', page)[1])
    assert legend[-1] == ["unlabelled", "#BBBBBB", None] and len(legend) == 3


def test_gaps_of_pandas(model, iris, figure):
    pandas = pytest.importorskip("pandas")
    values = np.where(GAPS, None, np.where(np.arange(150) % 2, "left", "right"))
    for labels in (pandas.Series(values), pandas.array(values, dtype="string"), pandas.Categorical(values)):
        display = LatentSpaceDisplay.from_estimator(model, iris, labels, ax=figure.subplots())
        assert [len(points.get_offsets()) for points in display.points_] == [5, 73, 72]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.where(GAPS, np.inf, 1.0), ValueError, "labels have infinity; allowed are finite numbers"),
        (np.array([1, "a", None] * 50, dtype=object), TypeError, "labels have values of several kinds"),
    ],
)
def test_labels_that_cannot_be(labels, error, message, model, iris, tmp_path, figure):
    for draw in (
        lambda: LatentSpaceDisplay.from_estimator(model, iris, labels, ax=figure.subplots()),
        lambda: ErrorDistributionDisplay.from_estimator(model, iris, labels, ax=figure.subplots()),
        lambda: explore(model, tmp_path / "page.html", iris, labels=labels),
    ):
        with pytest.raises(error, match=message):
            draw()


@pytest.mark.parametrize("components", ["ab", 1, (0.5, 1), (True, 0), (0, 0), (0,), (0, 1, 1), (0, 2)])
def test_components_of_a_plane(components, model, iris, figure):
    with pytest.raises(ValueError, match="allowed are 2 different numbers of the 2 components, from 0 to 1"):
        ManifoldDisplay.from_estimator(model, iris, components=components, ax=figure.subplots())
