"""The network as a diagram in scikit-learn's HTML representation."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoenc
from autoenc import Autoencoder, AutoencoderOutlierDetector, MarginalizedDenoisingAutoencoder, _outline
from autoenc.layers import BatchNorm, Dense, Residual

ESTIMATORS = sorted(name for name in autoenc.__all__ if hasattr(getattr(autoenc, name), "fit"))


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)


def networks(text):
    """The diagrams in a text: their figures as XML and their captions."""
    found = re.findall(r'<div class="autoenc-network".*?(<svg.*?</svg>)<div[^>]*>(.*?)</div></div>', text, re.DOTALL)
    return [(ElementTree.fromstring(svg), caption) for svg, caption in found]


def texts(svg):
    """What stands below each layer."""
    columns: dict[str, list[str]] = {}
    for element in svg.iter("{http://www.w3.org/2000/svg}text"):
        columns.setdefault(element.get("x"), []).append(element.text)
    return [columns[x] for x in sorted(columns, key=float)]


def shapes(svg, name):
    return list(svg.iter(f"{{http://www.w3.org/2000/svg}}{name}"))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_one_before_and_after_a_fit(name, X):
    quick = {"max_iter": 1, "fine_tune_max_iter": 1, "n_estimators": 2}
    kind = getattr(autoenc, name)
    model = kind(**{key: value for key, value in quick.items() if key in kind().get_params()})
    ((svg, caption),) = networks(model._repr_html_())
    assert "not fitted" in caption
    assert texts(svg)[0] == ["input", "?"]
    model.fit(X, np.arange(len(X)) % 2)
    ((svg, caption),) = networks(model._repr_html_())
    assert texts(svg)[0][:2] == ["input", "7"]
    assert re.search(r"[\d,]+ parameters, [\d.]+ (bytes|kB|MB) as float32", caption)
    ((again, _),) = networks(model._repr_mimebundle_()["text/html"])
    assert texts(again) == texts(svg)
    assert model._repr_mimebundle_()["text/plain"] == repr(model)


def test_layers_parameters_and_memory(X):
    model = Autoencoder(3, hidden_layer_sizes=(10, 5), latent_activation="tanh", precision="float64", max_iter=1).fit(X)
    ((svg, caption),) = networks(model._repr_html_())
    assert texts(svg) == [
        ["input", "7"],
        ["hidden", "10", "gelu"],
        ["hidden", "5", "gelu"],
        ["code", "3", "tanh"],
        ["hidden", "5", "gelu"],
        ["hidden", "10", "gelu"],
        ["output", "7"],
    ]
    n = sum(a.size for a in (*model.coefs_, *model.intercepts_))
    assert caption == f"{n} parameters, {n * 8 / 1000:.1f} kB as float64"
    assert len(shapes(svg, "rect")) == 7
    assert len(shapes(svg, "polygon")) == 6
    heights = [float(rect.get("height")) for rect in shapes(svg, "rect")]
    assert heights[1] == max(heights)
    assert heights[3] == min(heights)


def test_what_follows_a_layer_stands_below_it(X):
    encoder = [Dense(6), BatchNorm(), Residual([Dense(6), Dense(6, activation="relu")])]
    unfitted = Autoencoder(2, encoder=encoder, decoder=[Dense(4)], loss="squared_error", max_iter=1)
    assert texts(networks(unfitted._repr_html_())[0][0])[1] == ["hidden", "6", "gelu", "BatchNorm", "Residual"]
    layers = _outline.of_estimator(unfitted.fit(X)).layers
    # Through the block of the residual, not past it.
    assert [(layer.role, layer.width, layer.what) for layer in layers] == [
        ("input", 7, ""),
        ("hidden", 6, "gelu, batch norm"),
        ("hidden", 6, "gelu"),
        ("hidden", 6, "relu, residual"),
        ("code", 2, ""),
        ("hidden", 4, "gelu"),
        ("output", 7, ""),
    ]


def test_links_conditions_and_ensembles(X):
    binary = (X > 0).astype(np.float32)
    layers = _outline.of_estimator(Autoencoder(2, loss="log_loss", max_iter=1).fit(binary)).layers
    assert layers[-1].what == "logistic"
    conditional = Autoencoder(2, max_iter=1).fit(X, condition=X[:, :3])
    assert _outline.of_estimator(conditional).layers[0].what == "+3 condition"
    detector = AutoencoderOutlierDetector(n_estimators=3, max_iter=1).fit(X)
    ((_, caption),) = networks(detector._repr_html_())
    n = sum(member.n_parameters_ for member in detector.estimators_)
    assert caption.startswith(f"3 networks, together {n:,} parameters")
    closed = MarginalizedDenoisingAutoencoder(n_layers=2).fit(X)
    assert [layer.width for layer in _outline.of_estimator(closed).layers] == [7, 7, 7]


def test_within_a_pipeline(X):
    pipe = make_pipeline(StandardScaler(), Autoencoder(2, max_iter=1))
    assert len(networks(pipe._repr_html_())) == 1
    ((svg, _),) = networks(pipe.fit(X)._repr_html_())
    assert texts(svg)[0] == ["input", "7"]
    assert len(networks(GridSearchCV(Autoencoder(2), {})._repr_html_())) == 1
    assert "<evil>" not in make_pipeline(Autoencoder(2, activation="<evil>"))._repr_html_()


def test_it_is_within_the_container_of_scikit_learn(X):
    text = Autoencoder(2)._repr_html_()
    before = text[text.index("sk-top-container") : text.index('<div class="autoenc-network"')]
    assert "sk-container" in before
    assert before.count("<div") > before.count("</div>")  # one at least is open: the container
    assert text.count("<div") == text.count("</div>")


def test_text_is_escaped():
    class Sneaky(str):
        def __repr__(self):
            return "'x'"

    evil = '<script>alert("&")</script>'
    model = Autoencoder(2, activation=Sneaky(evil))
    text = model._repr_html_()
    assert len(networks(text)) == 1
    assert evil not in text
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": "wide"},
        {"encoder": [3]},
        {"n_components": None},
        {"n_components": -3},
        {"hidden_layer_sizes": (-1,)},
    ],
)
def test_wrong_parameters_show_no_network_and_raise_nothing(parameters):
    text = Autoencoder(**parameters)._repr_html_()
    assert "sk-container" in text
    assert networks(text) == []


def test_display_text_is_respected():
    with sklearn.config_context(display="text"):
        model = Autoencoder(2)
        assert not hasattr(model, "_repr_html_")
        assert list(model._repr_mimebundle_()) == ["text/plain"]
