"""Keywords for matplotlib's artists, which the displays pass on."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

from autoenc import Autoencoder, AutoencoderClassifier, AutoencoderImputer
from autoenc.plotting import (
    ErrorDistributionDisplay,
    FeatureContributionDisplay,
    FilterDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ManifoldDisplay,
    NetworkDisplay,
    ReconstructionDisplay,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

X = np.random.default_rng(0).random((30, 4))
Y = np.arange(30) % 3
MODEL = Autoencoder(2, hidden_layer_sizes=(5,), max_iter=2, random_state=0)
SHAPE = {"image_shape": (2, 2)}


@pytest.fixture(scope="module")
def model():
    return MODEL.fit(X)


def ax():
    return Figure().subplots()


def test_points(model):
    for y in (None, Y, np.linspace(0, 1, 30), np.where(Y, Y, None)):
        style = {"edgecolors": "#FF0000", "lw": 2, "s": 7}
        display = LatentSpaceDisplay.from_estimator(model, X, y, scatter_kwargs=style, ax=ax())
        for points in display.points_:
            assert points.get_linewidths()[0] == 2 and points.get_sizes()[0] == 7
            assert to_hex(points.get_edgecolor()[0]) == "#ff0000"
    display = LatentSpaceDisplay.from_predictions(X[:, :2], Y, scatter_kwargs={"c": "#00FF00"}, ax=ax())
    assert to_hex(display.points_[2].get_facecolor()[0]) == "#00ff00"


def test_images(model):
    style = {"interpolation": "bilinear", "alpha": 0.5, "cmap": "viridis"}
    made = [
        ReconstructionDisplay.from_estimator(model, X, **SHAPE, image_kwargs=style, ax=ax()).image_,
        ReconstructionDisplay.from_predictions(X, X, **SHAPE, image_kwargs=style, ax=ax()).image_,
        ManifoldDisplay.from_estimator(model, X, n_grid=3, **SHAPE, image_kwargs=style, ax=ax()).image_,
        FilterDisplay.from_estimator(model, **SHAPE, image_kwargs=style, ax=ax()).image_,
        FilterDisplay.from_estimator(model, image_kwargs=style, ax=ax()).image_,
        FeatureContributionDisplay.from_estimator(model, X, **SHAPE, image_kwargs=style, ax=ax()).image_,
    ]
    for image in made:
        assert (image.get_interpolation(), image.get_alpha(), image.get_cmap().name) == ("bilinear", 0.5, "viridis")
    norm = {"norm": LogNorm(0.1, 1.0)}
    image = ReconstructionDisplay.from_predictions(X, X, **SHAPE, image_kwargs=norm, ax=ax()).image_
    assert image.norm is norm["norm"]
    assert FilterDisplay.from_predictions(X, image_kwargs=norm, ax=ax()).image_.norm is norm["norm"]


def test_colours_and_codes_of_a_plane(model):
    given = {"image_kwargs": {"cmap": "viridis"}, "scatter_kwargs": {"s": 3, "edgecolor": "#FF0000"}}
    display = ManifoldDisplay.from_estimator(model, X, n_grid=3, **given, ax=ax())
    assert display.image_.get_cmap().name == "viridis"
    codes = display.ax_.collections[-1]
    assert codes.get_sizes()[0] == 3 and to_hex(codes.get_edgecolor()[0]) == "#ff0000"
    one = Autoencoder(1, max_iter=2, random_state=0).fit(X)
    display = ManifoldDisplay.from_estimator(one, X, n_grid=3, line_kwargs={"lw": 4, "c": "#FF0000"}, ax=ax())
    assert display.image_.get_linewidth() == 4 and display.image_.get_color() == "#FF0000"


def test_lines_and_bars(model):
    display = ReconstructionDisplay.from_estimator(model, X, line_kwargs={"ms": 9, "mfc": "#FF0000"}, ax=ax())
    assert all(points.get_markersize() == 9 for points in display.points_)
    assert to_hex(display.points_[1].get_markerfacecolor()) == "#ff0000"
    given = {
        "bar_kwargs": {"alpha": 0.1, "fc": "#FF0000"},
        "line_kwargs": {"c": "#00FF00", "ls": ":"},
        "threshold": 1.0,
    }
    for y in (None, Y):
        display = ErrorDistributionDisplay.from_estimator(model, X, y, **given, ax=ax())
        assert display.threshold_.get_color() == "#00FF00" and display.threshold_.get_linestyle() == ":"
        assert display.ax_.patches[0].get_alpha() == 0.1
    given = {"bar_kwargs": {"height": 0.3, "hatch": "/"}, "line_kwargs": {"colors": "#00FF00"}}
    display = FeatureContributionDisplay.from_estimator(model, X, **given, ax=ax())
    assert display.bars_[0].get_height() == 0.3 and display.bars_[0].get_hatch() == "/"
    assert to_hex(display.ax_.collections[0].get_color()[0]) == "#00ff00"
    display = LossCurveDisplay.from_estimator(model, curve_kwargs={"lw": 7}, ax=ax())
    assert display.lines_["training"].get_linewidth() == 7


def test_units_and_connections(model):
    given = {"scatter_kwargs": {"s": 20, "lw": 3}, "line_kwargs": {"linewidth": 0.1, "alpha": 0.5}}
    display = NetworkDisplay.from_estimator(model, X[0], **given, ax=ax())
    assert all(units.get_sizes()[0] == 20 and units.get_linewidths()[0] == 3 for units in display.units_)
    assert all(lines.get_linewidths()[0] == 0.1 and lines.get_alpha() == 0.5 for lines in display.connections_)


@pytest.mark.parametrize("wrong", [3, "red", [("s", 1)], {1: 2}])
def test_what_is_no_dict_is_named(wrong, model):
    for name, draw in (
        ("scatter_kwargs", lambda **given: LatentSpaceDisplay.from_estimator(model, X, **given, ax=ax())),
        ("image_kwargs", lambda **given: FilterDisplay.from_estimator(model, **SHAPE, **given, ax=ax())),
        ("bar_kwargs", lambda **given: ErrorDistributionDisplay.from_estimator(model, X, **given, ax=ax())),
        ("line_kwargs", lambda **given: NetworkDisplay.from_estimator(model, **given, ax=ax())),
        ("curve_kwargs", lambda **given: LossCurveDisplay.from_estimator(model, **given, ax=ax())),
    ):
        with pytest.raises(TypeError, match=rf"{name}=.*; allowed are None and a dict of matplotlib's keywords"):
            draw(**{name: wrong})


def test_a_predictor_is_told_what_a_network_is(model):
    for other in (model.predictor(), AutoencoderImputer(2, max_iter=2).fit(X)):
        with pytest.raises(TypeError, match="llowed are single networks: the autoencoders") as error:
            NetworkDisplay.from_estimator(other, ax=ax())
        assert "_spec" not in str(error.value)
    classifier = AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=2, random_state=0).fit(X, Y)
    NetworkDisplay.from_estimator(classifier, X[0], ax=ax())
