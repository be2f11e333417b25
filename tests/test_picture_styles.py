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


def test_keywords_of_what_is_not_drawn_are_refused(model):
    one = Autoencoder(1, max_iter=2, random_state=0).fit(X)
    for names, draw in (
        ("image", lambda **given: ReconstructionDisplay.from_estimator(model, X, **given, ax=ax())),
        ("line", lambda **given: ReconstructionDisplay.from_estimator(model, X, **SHAPE, **given, ax=ax())),
        ("image", lambda **given: FeatureContributionDisplay.from_estimator(model, X, **given, ax=ax())),
        ("bar line", lambda **given: FeatureContributionDisplay.from_estimator(model, X, **SHAPE, **given, ax=ax())),
        ("scatter line", lambda **given: ManifoldDisplay.from_estimator(model, X, **SHAPE, **given, ax=ax())),
        ("image scatter", lambda **given: ManifoldDisplay.from_estimator(one, X, **given, ax=ax())),
        ("line", lambda **given: ManifoldDisplay.from_estimator(model, X, **given, ax=ax())),
    ):
        for name in names.split():
            draw(**{f"{name}_kwargs": {}})
            for wrong in ({"alpha": 0.5}, {"frobnicate": 3}, 3):
                with pytest.raises(ValueError, match=rf"^{name}_kwargs=.*{wrong}.*; allowed is None$"):
                    draw(**{f"{name}_kwargs": wrong})


def test_what_matplotlib_refuses_is_named(model):
    linear = Autoencoder(2, hidden_layer_sizes=(), max_iter=2, random_state=0).fit(X)
    one = Autoencoder(1, max_iter=2, random_state=0).fit(X)
    filters, manifold = FilterDisplay.from_estimator, ManifoldDisplay.from_estimator
    calls = [
        ("scatter_kwargs", "scatter", LatentSpaceDisplay.from_estimator, (model, X, Y)),
        ("scatter_kwargs", "scatter", LatentSpaceDisplay.from_estimator, (model, X)),
        ("scatter_kwargs", "scatter", LatentSpaceDisplay.from_estimator, (model, X, np.linspace(0, 1, 30))),
        ("scatter_kwargs", "scatter", LatentSpaceDisplay.from_estimator, (model, X, np.where(Y, Y, None))),
        ("image_kwargs", "imshow", lambda *a, **given: filters(*a, **SHAPE, **given), (model,)),
        ("image_kwargs", "imshow", filters, (linear,)),
        ("image_kwargs", "imshow", lambda *a, **given: manifold(*a, **SHAPE, **given), (model, X)),
        ("image_kwargs", "pcolormesh", manifold, (model, X)),
        ("scatter_kwargs", "scatter", manifold, (model, X)),
        ("line_kwargs", "plot", manifold, (one, X)),
        ("line_kwargs", "plot", ReconstructionDisplay.from_estimator, (model, X)),
        ("bar_kwargs", "stairs", ErrorDistributionDisplay.from_estimator, (model, X)),
        ("line_kwargs", "axvline", lambda *a, **given: ErrorDistributionDisplay.from_predictions(
            *a, threshold=0.5, **given), (X[:, 0],)),
        ("bar_kwargs", "barh", FeatureContributionDisplay.from_estimator, (model, X)),
        ("line_kwargs", "vlines", FeatureContributionDisplay.from_estimator, (model, X)),
        ("curve_kwargs", "plot", LossCurveDisplay.from_estimator, (model,)),
        ("line_kwargs", "LineCollection", NetworkDisplay.from_estimator, (model,)),
        ("scatter_kwargs", "scatter", NetworkDisplay.from_estimator, (model,)),
    ]  # fmt: skip
    for name, function, display, arguments in calls:
        with pytest.raises(TypeError) as error:
            display(*arguments, **{name: {"frobnicate": 3}}, ax=ax())
        said = str(error.value)
        assert said.startswith(f"{name}={{'frobnicate': 3}}: ") and said.count("frobnicate") > 1
        assert said.endswith(f"; allowed are keywords of matplotlib's {function}")
        with pytest.raises((TypeError, ValueError), match=f"{name}={{'alpha': 'much'}}: .*{function}$"):
            display(*arguments, **{name: {"alpha": "much"}}, ax=ax())
    with pytest.raises(TypeError, match=r"curve_kwargs=.*aliases of one another; allowed is one of them$"):
        LossCurveDisplay.from_estimator(model, curve_kwargs={"lw": 3, "linewidth": 3}, ax=ax())
    with pytest.raises(ValueError, match="'rainbows' is not a valid value for cmap"):
        filters(model, **SHAPE, cmap="rainbows", ax=ax())


def test_layers_of_a_network_are_checked():
    draw = NetworkDisplay.from_predictions
    draw([("a", 3, None, None), ("b", 2, np.ones((3, 2)), [1.0, 2.0])], ax=ax())
    for wrong in ([3, 2, 3], 3, [("a", 3)], [("a", 3, None, None, None)]):
        with pytest.raises(TypeError, match=r"^layers=.*; allowed is a list of \(label, number of units, weights from"):
            draw(wrong)
    for wrong, said in (
        ([("a", "3", None, None)], r"layers\[0\]\[1\]='3'; allowed are whole numbers from 0"),
        ([("a", 3, np.ones((2, 3)), None)], r"layers\[0\]\[2\] has shape \(2, 3\); allowed: None$"),
        (
            [("a", 3, None, None), ("b", 2, np.ones((2, 3)), None)],
            r"layers\[1\]\[2\] has shape \(2, 3\); allowed: None and an array of numbers of shape \(3, 2\)",
        ),
        (
            [("a", 3, None, [1.0])],
            r"layers\[0\]\[3\] has shape \(1,\); allowed: None and an array of numbers of shape \(3,\)",
        ),
        (
            [("a", 2, None, None), ("b", 2, [[1.0, 2.0], [3.0]], None)],
            r"^layers\[1\]\[2\]=\[\[1.0, 2.0\], \[3.0\]\]; allowed: None and an array of numbers of shape \(2, 2\)$",
        ),
        (
            [("a", 1, None, ["high"])],
            r"^layers\[0\]\[3\]=\['high'\]; allowed: None and an array of numbers of shape \(1,\)$",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            draw(wrong)


def test_a_predictor_is_told_what_a_network_is(model):
    for other in (model.predictor(), AutoencoderImputer(2, max_iter=2).fit(X)):
        with pytest.raises(TypeError, match="llowed are single networks: the autoencoders") as error:
            NetworkDisplay.from_estimator(other, ax=ax())
        assert "_spec" not in str(error.value)
    classifier = AutoencoderClassifier(2, max_iter=2, fine_tune_max_iter=2, random_state=0).fit(X, Y)
    NetworkDisplay.from_estimator(classifier, X[0], ax=ax())
